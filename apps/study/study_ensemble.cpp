#include "apps/study/study_ensemble.h"

#include <algorithm>
#include <cmath>

#include "apps/evaluate/aggregation.h"
#include "apps/study/slice_labels.h"
#include "apps/study/slice_model_search.h"
#include "apps/study/study_predictions.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

std::vector<StudyModelPlace> places_of(const std::vector<std::string>& directories) {
  require(!directories.empty(), "study models: none is given");
  std::vector<StudyModelPlace> places;
  for (const std::string& directory : directories) {
    StudyModelPlace& place = places.emplace_back(
        directory, models::read_study_config(std::filesystem::path(directory) / "config.json"));
    require(place.config.labels == study_labels(), "{}: its labels are {}, expected {}", directory,
            fmt::join(place.config.labels, ", "), fmt::join(study_labels(), ", "));
  }
  return places;
}

// How the slices of one study model were cut; `input_size` is that of its slice models.
ModelSource source_of(const StudyModelPlace& place, int input_size) {
  const ModelSource source = source_of_model(place.directory.string(), input_size);
  require(source.source.slices == place.config.planes,
          "{}: was trained on {} slices of each study, but {}; copy settings.json of the slices that it was "
          "trained on to {}/slices.json",
          source.model, place.config.planes,
          std::filesystem::exists(place.directory / "slices.json")
              ? fmt::format("its slices.json says {}", source.source.slices)
              : fmt::format("has no slices.json, without which {} are cut", source.source.slices),
          source.model);
  return source;
}

void require_finite(const std::vector<float>& logits, const std::filesystem::path& model) {
  require(std::all_of(logits.begin(), logits.end(), [](float logit) { return std::isfinite(logit); }),
          "{}: its answer is not a finite number; its weights are unusable", model.string());
}

}  // namespace

StudyEnsemble::StudyEnsemble(const std::vector<std::string>& directories,
                             const std::vector<std::string>& slice_models, Backend& backend, DType dtype)
    : context_(std::make_unique<nn::Context>(backend)),
      slice_context_(std::make_unique<nn::Context>(backend, dtype)) {
  const std::vector<StudyModelPlace> places = places_of(directories);
  const std::vector<std::vector<std::string>> found = find_slice_models(places, slice_models);
  std::vector<ModelSource> sources;
  for (std::size_t i = 0; i < places.size(); ++i) {
    Member& member = members_.emplace_back();
    int input_size = 0;
    for (std::size_t m = 0; m < found[i].size(); ++m) {
      member.slice_models.push_back(open_once(found[i][m], places[i].config.slice_models[m].fingerprint));
      input_size = std::max(input_size, slice_models_[member.slice_models.back()].input.loader.image_size);
    }
    sources.push_back(source_of(places[i], input_size));
    member.directory = places[i].directory;
    member.model = models::import_study_model(member.directory, *context_);
  }
  source_ = common_source(sources);
}

std::size_t StudyEnsemble::open_once(const std::string& directory, const std::string& fingerprint) {
  for (std::size_t i = 0; i < slice_models_.size(); ++i)
    if (slice_models_[i].fingerprint == fingerprint) return i;
  slice_models_.push_back(open_slice_model(directory, *slice_context_, fingerprint));
  return slice_models_.size() - 1;
}

StudyEnsemble::Answer StudyEnsemble::predict(const data::SliceSet& slices,
                                             const FeatureOptions& options) const {
  FeatureOptions as_they_are = options;
  as_they_are.variants = 1;
  std::vector<SliceFeatures> features;
  for (const SliceModel& model : slice_models_) {
    features.push_back(compute_slice_features(model, *slice_context_, slices, as_they_are));
    require_finite(features.back().logits, model.directory);
  }
  std::vector<Predictions> by_study;
  for (const Member& member : members_) {
    std::vector<SliceFeatures> own;
    for (const std::size_t index : member.slice_models) own.push_back(features[index]);
    by_study.push_back(study_predictions(*member.model, *context_, StudyData(slices, own)));
    require_finite(by_study.back().logits, member.directory);
  }
  Answer answer{.by_slice = slice_predictions(slices, features), .by_study = by_study.front()};
  if (by_study.size() == 1) return answer;
  std::vector<float> of_models(by_study.size());
  for (std::size_t i = 0; i < answer.by_study.logits.size(); ++i) {
    for (std::size_t m = 0; m < by_study.size(); ++m) of_models[m] = by_study[m].logits[i];
    answer.by_study.logits[i] = static_cast<float>(logit_of_mean(of_models));
  }
  return answer;
}

}  // namespace sagitta::apps
