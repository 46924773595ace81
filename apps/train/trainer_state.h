// What resuming needs beside the model: position, best result so far, moments, and averages of the weights.
// Files in a checkpoint directory: trainer_state.json and optimizer.safetensors.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace sagitta::apps {

// Where a run stands.
struct TrainerState {
  std::int64_t epoch = 0;  // being trained, from 0
  std::int64_t batch = 0;  // next batch of the epoch
  std::int64_t optimizer_steps = 0;
  std::int64_t micro_steps = 0;
  double best_value = 0;         // of what --best-by names; valid once best_epoch >= 0
  std::int64_t best_epoch = -1;  // none yet
  double sum_of_losses = 0;      // of the epoch's batches so far
  std::int64_t log_bytes = 0;    // size of metrics.jsonl
};

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

void write_trainer_state(const std::filesystem::path& directory, const NamedTensors& tensors,
                         const TrainerState& state);
// Both throw Error if their file is missing, damaged, or of another model. Tensors are restored in place.
TrainerState read_trainer_state(const std::filesystem::path& directory);
void read_trainer_tensors(const std::filesystem::path& directory, const NamedTensors& tensors);

}  // namespace sagitta::apps
