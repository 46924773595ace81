// One round of our own steps, timed: what bench_train runs in a process of its own, beside PyTorch's
// (bench/peers/train_pytorch.py), which does the same.
#pragma once
#include <nlohmann/json.hpp>

#include "apps/engine/device.h"

namespace sagitta::bench {

struct WorkerOptions {
  std::string arch = "resnet-50";
  std::int64_t image_size = 0;  // 0: the architecture's own
  std::int64_t batch = 16;
  int steps = 5;
  bool inference = false;  // a forward pass in evaluation mode, instead of a training step
  apps::DeviceOptions device;
};

// {"images_per_second", "peak_mb", "minor_faults_per_step", "major_faults_per_step"}. A training step is
// forward, binary cross-entropy, backward and SGD with momentum, on fixed synthetic images; captured, as the
// trainer does it. On the CPU the median step counts; a GPU is not waited for in between, since neither
// framework does so in training, hence the mean.
nlohmann::ordered_json run_worker(const WorkerOptions& options);

}  // namespace sagitta::bench
