#include "bench/ops_peer.h"

#include "tensor/error.h"

namespace sagitta::bench {

OpsPeer::OpsPeer(std::string label, const std::vector<std::string>& command, const Environment& environment)
    : label_(std::move(label)), process_(command, environment) {
  const nlohmann::ordered_json hello = answer();
  require(hello.contains("name") && hello["name"].is_string(), "{}: expected its name, got {}", label_,
          hello.dump());
  name_ = hello["name"];
}

std::map<std::string, double> OpsPeer::measure(const nlohmann::ordered_json& request) {
  require(process_.write_line(request.dump()), "{}: ended before it was asked; see its messages above",
          label_);
  const nlohmann::ordered_json result = answer();
  std::map<std::string, double> seconds;
  if (result.contains("unsupported")) return seconds;
  require(result.contains("seconds") && result["seconds"].is_object(), "{}: expected seconds, got {}", label_,
          result.dump());
  for (const auto& [way, value] : result["seconds"].items()) {
    require(value.is_number() && value.get<double>() > 0, "{}: expected seconds above 0, got {}", label_,
            result.dump());
    seconds[way] = value;
  }
  return seconds;
}

nlohmann::ordered_json OpsPeer::answer() {
  const std::optional<std::string> line = process_.read_line();
  require(line.has_value(), "{}: ended without an answer; see its messages above", label_);
  const nlohmann::ordered_json json = nlohmann::ordered_json::parse(*line, nullptr, false);
  require(json.is_object(), "{}: expected a line of JSON, got '{}'", label_, line->substr(0, 200));
  if (json.contains("error")) fail("{}: {}", label_, json["error"].dump());
  return json;
}

}  // namespace sagitta::bench
