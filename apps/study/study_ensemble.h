// StudyEnsemble: trained study models and the slice models under them, ready to be asked; the mean
// probability is the prediction, and one study model is an ensemble of one. Invariant: of one study model the
// same numbers as the evaluation of train_study gives for the same slices.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "apps/engine/slices.h"
#include "apps/study/slice_features.h"
#include "models/study_model.h"

namespace sagitta::apps {

class StudyEnsemble {
 public:
  // Opens the study models, and each slice model once; `slice_models` are the directories of those that are
  // not where they were (apps/study/slice_model_search.h). Slice models compute in `dtype`, study models in
  // f32, as when they were trained. Throws Error, with the remedy, when one is missing or is another model
  // than it was, or the study models were trained on slices cut otherwise.
  StudyEnsemble(const std::vector<std::string>& directories, const std::vector<std::string>& slice_models,
                Backend& backend, DType dtype);

  // How slices are cut for it.
  const SliceSource& source() const { return source_; }
  // All of them, each once, in the context that they live in.
  const std::vector<SliceModel>& slice_models() const { return slice_models_; }
  const nn::Context& slice_context() const { return *slice_context_; }
  // Indices in slice_models() of those that a study model reads, by index of study model.
  const std::vector<std::size_t>& slice_models_of(std::size_t study_model) const {
    return members_.at(study_model).slice_models;
  }

  // The eight labels of a study: a row per slice, the mean probability over the slice models, and a row per
  // study, the mean probability over the study models. Variants of the options are left out: study models are
  // validated on slices as they are. Throws Error when an answer is not a finite number.
  struct Answer {
    Predictions by_slice, by_study;
  };
  Answer predict(const data::SliceSet& slices, const FeatureOptions& options) const;

 private:
  struct Member {
    std::filesystem::path directory;
    std::unique_ptr<models::StudyModel> model;
    std::vector<std::size_t> slice_models;
  };
  std::size_t open_once(const std::string& directory, const std::string& fingerprint);

  std::unique_ptr<nn::Context> context_, slice_context_;
  std::vector<SliceModel> slice_models_;
  std::vector<Member> members_;
  SliceSource source_;
};

}  // namespace sagitta::apps
