#include "bench/rival.h"

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "bench/machine.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::bench {
namespace {

using Json = nlohmann::json;

void require_same(const std::filesystem::path& document, const char* what, const std::string& found,
                  const std::string& wanted) {
  require(found == wanted, "{}: was made for {} {}, not {}; run bench/peers/sweep.py for that",
          document.string(), what, found, wanted);
}

std::int64_t batch_of(const Json& configuration) {
  const auto& flags = configuration.at("flags");
  for (std::size_t i = 0; i + 1 < flags.size(); ++i)
    if (flags[i] == "--batch") return std::stoll(flags[i + 1].get<std::string>());
  return 0;
}

Rival choose(const std::filesystem::path& document, const Json& json, const RivalQuery& query) {
  require_same(document, "architecture", json.at("arch"), query.arch);
  require_same(document, "image size", std::to_string(json.at("image_size").get<std::int64_t>()),
               std::to_string(query.image_size));
  require_same(document, "inference", json.at("inference").get<bool>() ? "yes" : "no",
               query.inference ? "yes" : "no");
  Rival best;
  double best_speed = 0;
  std::set<std::int64_t> batches;
  for (const Json& configuration : json.at("configurations")) {
    const std::int64_t batch = batch_of(configuration);
    const double speed = median(configuration.at("images_per_second").get<std::vector<double>>());
    if (speed > 0) batches.insert(batch);
    if (speed <= best_speed || (query.batch > 0 && batch != query.batch)) continue;
    best_speed = speed;
    best = {configuration.at("flags"), configuration.at("environment").get<Environment>(), batch};
  }
  require(best_speed > 0, "{}: has no measured configuration with batch {}, but with {}", document.string(),
          query.batch, fmt::join(batches, ", "));
  return best;
}

}  // namespace

Rival rival_from(const std::filesystem::path& document, const RivalQuery& query) {
  const Json json = Json::parse(read_text_file(document), nullptr, false);
  require(json.is_object(), "{}: not a JSON document of bench/peers/sweep.py", document.string());
  try {
    return choose(document, json, query);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {  // of the JSON library and of std::stoll
    fail("{}: not a document of bench/peers/sweep.py: {}", document.string(), error.what());
  }
}

std::vector<std::string> split_words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

Environment parse_environment(const std::string& text, const std::string& option) {
  Environment environment;
  for (const std::string& word : split_words(text)) {
    const std::size_t equals = word.find('=');
    require(equals != std::string::npos && equals > 0, "{}: '{}' is not NAME=VALUE", option, word);
    environment[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return environment;
}

}  // namespace sagitta::bench
