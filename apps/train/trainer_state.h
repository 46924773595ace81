// What resuming needs beside the model: position, best result so far, and the optimizer's moments.
// Files in a checkpoint directory: trainer_state.json and optimizer.safetensors.
#pragma once
#include <cstdint>
#include <filesystem>

#include "nn/optimizer.h"

namespace sagitta::apps {

struct TrainerState {
  std::int64_t epoch = 0;  // being trained, from 0
  std::int64_t batch = 0;  // next batch of the epoch
  std::int64_t optimizer_steps = 0;
  std::int64_t micro_steps = 0;
  double best_validation_loss = 0;
  std::int64_t best_epoch = -1;  // none yet
  double sum_of_losses = 0;      // of the epoch's batches so far
  std::int64_t log_bytes = 0;    // size of metrics.jsonl
};

void write_trainer_state(const std::filesystem::path& directory, nn::Optimizer& optimizer,
                         const TrainerState& state);
// Restores the moments into `optimizer`. Throws Error if a file is missing, damaged, or of another model.
TrainerState read_trainer_state(const std::filesystem::path& directory, nn::Optimizer& optimizer);

}  // namespace sagitta::apps
