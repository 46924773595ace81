// What resuming needs beside the model: position, best result so far, moments, and averages of the weights.
// Files in a checkpoint directory: trainer_state.json and optimizer.safetensors.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "nn/moving_average.h"
#include "nn/optimizer.h"
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

  // Whether the value of the epoch that is being ended, smaller being better, is the best so far; takes note
  // of it. NaN, an area that is not defined yet, is better than nothing, and worse than everything else.
  bool settle_best(double value);
  // Whether all epochs are done, or `patience` of them in a row without a better one (0: that ends nothing).
  bool is_finished(std::int64_t epochs, std::int64_t patience) const;
};

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

// What a checkpoint must keep beside the model: moments, and the average where there is one (null: none).
NamedTensors tensors_to_keep(nn::Optimizer& optimizer, nn::MovingAverage* average);

void write_trainer_state(const std::filesystem::path& directory, const NamedTensors& tensors,
                         const TrainerState& state);
// Both throw Error if their file is missing, damaged, or of another model. Tensors are restored in place.
TrainerState read_trainer_state(const std::filesystem::path& directory);
void read_trainer_tensors(const std::filesystem::path& directory, const NamedTensors& tensors);

}  // namespace sagitta::apps
