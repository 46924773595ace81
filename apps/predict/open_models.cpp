#include "apps/predict/open_models.h"

#include <algorithm>

#include "apps/predict/slice_rule_reader.h"
#include "apps/predict/study_model_reader.h"
#include "data/fingerprint.h"
#include "models/study_config.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

// The content of a model, wherever it lies.
std::string fingerprint_of(const std::string& model) {
  data::Fingerprint print;
  for (const char* file : {"config.json", "preprocessor_config.json", "slices.json"})
    print.add_file(fs::path(model) / file);
  std::vector<fs::path> weights;  // one, or shards
  for (const auto& entry : fs::directory_iterator(model))
    if (entry.path().extension() == ".safetensors" && entry.path().filename().string().starts_with("model"))
      weights.push_back(entry.path());
  std::sort(weights.begin(), weights.end());
  for (const fs::path& file : weights) print.add_file(file);
  return print.hex();
}

Json record_of(const std::string& model) {
  return {{"directory", model},
          {"fingerprint", fingerprint_of(model)},
          {"config", Json::parse(read_text_file(fs::path(model) / "config.json"))}};
}

StudyAggregator choose_aggregator(const ModelChoice& choice, const std::vector<std::string>& labels) {
  if (!choice.aggregator.empty()) return StudyAggregator::load(choice.aggregator);
  if (!choice.rule.empty()) return {parse_aggregation_rule(choice.rule), labels};
  const fs::path own = fs::path(choice.models.front()) / "aggregator.json";
  // What was fitted to one model does not suit several.
  if (choice.models.size() == 1 && fs::exists(own)) return StudyAggregator::load(own);
  return {AggregationRule::mean, labels};
}

OpenedModels open_with_rule(const ModelChoice& choice, const ReadingOptions& reading,
                            const OpenedDevice& device) {
  require(choice.slice_models.empty(),
          "--slice-model {}: is for study models, but {} is a model of slices; leave it out",
          fmt::join(choice.slice_models, ", "), choice.models.front());
  OpenedModels opened{.reader = nullptr,
                      .source = source_for_models(choice.models),
                      .aggregator = nullptr,
                      .models = Json::array(),
                      .directories = choice.models};
  Ensemble ensemble(choice.models, device.backend, device.dtype);
  StudyAggregator aggregator = choose_aggregator(choice, label_names(ensemble));
  opened.aggregator = aggregator.json();
  for (const std::string& model : choice.models) opened.models.push_back(record_of(model));
  opened.reader = std::make_unique<SliceRuleReader>(std::move(ensemble), std::move(aggregator), reading);
  return opened;
}

OpenedModels open_with_study_models(const ModelChoice& choice, const ReadingOptions& reading,
                                    const OpenedDevice& device) {
  require(choice.rule.empty() && choice.aggregator.empty(),
          "{}: {} is a study model, which makes one answer of the slices itself; leave the option out",
          choice.rule.empty() ? "--aggregator" : "--aggregate", choice.models.front());
  require(
      reading.variants == 1,
      "--tta {}: {} is a study model, which was trained and validated on slices as they are; leave it out",
      reading.variants, choice.models.front());
  StudyEnsemble ensemble(choice.models, choice.slice_models, device.backend, device.dtype);
  OpenedModels opened{.reader = nullptr,
                      .source = ensemble.source(),
                      .aggregator = {{"rule", "study model"}},
                      .models = Json::array(),
                      .directories = choice.models};
  for (std::size_t i = 0; i < choice.models.size(); ++i) {
    Json record = record_of(choice.models[i]);
    record["slice_models"] = Json::array();
    for (const std::size_t index : ensemble.slice_models_of(i)) {
      const SliceModel& model = ensemble.slice_models()[index];
      record["slice_models"].push_back(
          {{"directory", model.directory.string()}, {"fingerprint", model.fingerprint}});
    }
    opened.models.push_back(record);
  }
  for (const SliceModel& model : ensemble.slice_models())
    opened.directories.push_back(model.directory.string());
  const FeatureOptions features{.batch_size = reading.batch_size, .threads = reading.threads};
  opened.reader = std::make_unique<StudyModelReader>(std::move(ensemble), features);
  return opened;
}

}  // namespace

OpenedModels open_models(const ModelChoice& choice, const ReadingOptions& reading,
                         const OpenedDevice& device) {
  require(!choice.models.empty(), "--model: no model is given");
  const bool of_studies = models::holds_study_model(choice.models.front());
  for (const std::string& model : choice.models)
    require(models::holds_study_model(model) == of_studies,
            "--model {}: is {} study model, but {} is {}; an ensemble is of one kind", model,
            of_studies ? "no" : "a", choice.models.front(), of_studies ? "one" : "none");
  return of_studies ? open_with_study_models(choice, reading, device)
                    : open_with_rule(choice, reading, device);
}

}  // namespace sagitta::apps
