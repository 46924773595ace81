#include "apps/events/run_log.h"

#include <nlohmann/json.hpp>

#include "apps/engine/recipe.h"
#include "nn/metrics.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;
using Scalars = std::vector<std::pair<std::string, double>>;

void collect(const std::string& prefix, const Json& object, Scalars& scalars) {
  for (const auto& [key, value] : object.items()) {
    const std::string tag = prefix + "/" + key;
    if (value.is_boolean())
      scalars.emplace_back(tag, value.get<bool>() ? 1 : 0);
    else if (value.is_number())
      scalars.emplace_back(tag, value.get<double>());
    else if (value.is_object())
      collect(tag, value, scalars);
  }
}

}  // namespace

RunLog::RunLog(RunDirectory& run, std::int64_t last_step) : run_(run) {
  const fs::path recipe = run.path() / "recipe.toml";
  events_ = std::make_unique<EventFile>(run.folder("events"), last_step + 1);
  if (last_step == 0 && fs::exists(recipe))
    events_->add_hyperparameters(recipe_settings(recipe),
                                 {"epoch/validation_loss", "epoch/validation_macro_auroc"});
}

void RunLog::add(const Json& entry) {
  run_.log(entry);
  Scalars scalars;
  Json numbers = entry;
  numbers.erase("step");
  collect(entry.at("type"), numbers, scalars);
  if (!scalars.empty()) events_->add_scalars(entry.at("step"), scalars);
}

void RunLog::add_predictions(std::int64_t step, const Predictions& predictions,
                             const std::vector<std::string>& labels) {
  const std::vector<float> probabilities = predictions.probabilities();
  for (std::size_t i = 0; i < labels.size(); ++i)
    events_->add_precision_recall(step, "validation/" + labels[i],
                                  nn::column(probabilities, labels.size(), i),
                                  nn::column(predictions.targets, labels.size(), i));
}

void RunLog::add_image(std::int64_t step, const std::string& tag, const data::Image& image) {
  events_->add_image(step, tag, image);
}

void RunLog::end() { events_->add_end(); }

}  // namespace sagitta::apps
