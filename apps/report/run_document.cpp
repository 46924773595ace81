#include "apps/report/run_document.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/engine/recipe.h"
#include "apps/report/metric_columns.h"
#include "data/base64.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr std::size_t kLargestFile = std::size_t{1} << 30;

Json read_json(const fs::path& file) {
  if (!fs::exists(file)) return nullptr;
  Json json = Json::parse(read_text_file(file, kLargestFile), nullptr, false);
  require(!json.is_discarded(), "{}: is damaged: it is no JSON", file.string());
  return json;
}

std::string data_uri(const fs::path& png) {
  return "data:image/png;base64," + data::base64(read_text_file(png, kLargestFile));
}

// The examples of an evaluation with their pictures inside.
Json read_examples(const fs::path& folder) {
  const Json file = read_json(folder / "examples.json");
  if (!file.is_object()) return Json::array();
  Json examples = file.value("examples", Json::array());
  for (Json& example : examples)
    for (const char* key : {"picture", "heat"})
      if (const std::string file = example.value(key, ""); !file.empty()) {
        require(fs::path(file).is_relative() && file.find("..") == std::string::npos,
                "{}: '{}' is not a path inside the folder", (folder / "examples.json").string(), file);
        example[key] = data_uri(folder / file);
      }
  return examples;
}

// The evaluations of a run: RUN/<name>/evaluation.json, and what `evaluate` puts beside the best checkpoint.
Json read_evaluations(const fs::path& run) {
  std::vector<fs::path> folders{run / "best" / "evaluation"};
  for (const auto& entry : fs::directory_iterator(run))
    if (entry.is_directory() && !entry.is_symlink()) folders.push_back(entry.path());
  std::sort(folders.begin(), folders.end());
  Json evaluations = Json::array();
  for (const fs::path& folder : folders)
    if (Json result = read_json(folder / "evaluation.json"); result.is_object()) {
      const std::string name = result.value("split", folder.filename().string());
      evaluations.push_back(
          {{"name", name}, {"result", std::move(result)}, {"examples", read_examples(folder)}});
    }
  // What the model has not been chosen by comes first.
  std::stable_partition(evaluations.begin(), evaluations.end(),
                        [](const Json& one) { return one["name"] == "test"; });
  return evaluations;
}

Json state_of(const Json& end, const Json& metrics, const Json& settings) {
  const Json epochs = metrics["epochs"].value("epoch", Json::array());
  const std::string done = fmt::format("{} of {} epochs", epochs.size(), settings.value("epochs", "?"));
  const std::string outcome = end.is_object() ? end.value("outcome", "") : "";
  return {
      {"text", outcome.empty() ? "running" : outcome}, {"more", done}, {"is_final", outcome == "finished"}};
}

}  // namespace

Json run_document(const fs::path& run, const std::string& name) {
  const fs::path recipe = run / "recipe.toml";
  require(fs::is_regular_file(recipe), "{}: is not a run (it has no recipe.toml)", run.string());
  Json end;
  const Json metrics = metric_columns(run / "metrics.jsonl", end);
  Json settings = Json::object();
  for (const auto& [key, value] : recipe_settings(recipe)) settings[key] = value;
  return {{"name", name},
          {"state", state_of(end, metrics, settings)},
          {"metrics", metrics},
          {"evaluations", read_evaluations(run)},
          {"data", read_json(run / "data.json")},
          {"record", read_json(run / "run.json")},
          {"recipe", read_text_file(recipe)},
          {"settings", settings}};
}

}  // namespace sagitta::apps
