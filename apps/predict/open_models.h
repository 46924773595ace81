// What `predict --model` names, opened: slice models and a rule, or study models.
#pragma once
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/engine/device.h"
#include "apps/engine/slices.h"
#include "apps/evaluate/ensemble.h"
#include "apps/predict/study_reader.h"

namespace sagitta::apps {

struct ModelChoice {
  std::vector<std::string> models;        // several are an ensemble
  std::vector<std::string> slice_models;  // of study models, those that are not where they were
  std::string rule;  // mean, max, noisy-or; empty: the model's aggregator.json if there is one, else mean
  std::string aggregator;  // file of evaluate, instead of a rule
};

struct OpenedModels {
  std::unique_ptr<StudyReader> reader;
  SliceSource source;                    // how slices are cut for them
  nlohmann::ordered_json aggregator;     // how slices become a study, as in aggregator.json; "rule" names it
  nlohmann::ordered_json models;         // of predictions.json: directory, fingerprint, config
  std::vector<std::string> directories;  // of all, slice models included
};

// Throws Error, with the remedy, when one is no model, they do not go together, or an option does not suit
// them.
OpenedModels open_models(const ModelChoice& choice, const ReadingOptions& reading,
                         const OpenedDevice& device);

}  // namespace sagitta::apps
