// One step of a model as the list of backend calls it makes, and what these cost: so many FLOP in products,
// so many bytes through memory. The calls are recorded from the model itself.
#pragma once
#include "bench/recorded_call.h"
#include "models/config.h"

namespace sagitta::bench {

// The model of an architecture's name with the seven labels of the RSNA data; image_size 0: its own.
models::ModelConfig config_of(const std::string& arch, std::int64_t image_size);

enum class UpdateRule { sgd, adamw };

// A training step as the trainer makes it: u8 pictures in, updated weights out. Behind it, with times = 0,
// ops that other recipes add.
std::vector<RecordedCall> calls_of_training(const models::ModelConfig& config, std::int64_t batch,
                                            DType dtype, UpdateRule rule);
// A forward pass in evaluation mode, without gradients.
std::vector<RecordedCall> calls_of_inference(const models::ModelConfig& config, std::int64_t batch,
                                             DType dtype);

struct Cost {
  double flop = 0;   // of products; what a kernel computes twice to save memory counts once
  double bytes = 0;  // that must move if every call touches each of its elements once
};
Cost cost_of(const std::vector<RecordedCall>& calls);

}  // namespace sagitta::bench
