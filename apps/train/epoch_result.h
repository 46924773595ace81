// EpochResult: what an epoch of training came to, as the user reads it and as metrics.jsonl keeps it.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "apps/engine/label_areas.h"
#include "apps/train/trainer_state.h"

namespace sagitta::apps {

struct EpochResult {
  double training_loss = 0;    // mean over the epoch, as it was computed while the weights changed
  double validation_loss = 0;  // at its end
  LabelAreas areas = {};       // of the validation
  double validation_seconds = 0;

  // "training loss 0.4321, validation loss 0.5432, macro AUROC 0.765", and whether that is the best so far
  std::string text(bool is_best) const;
  // The entry of the epoch that `position` is in.
  nlohmann::ordered_json json(const TrainerState& position, const std::vector<std::string>& labels) const;
};

}  // namespace sagitta::apps
