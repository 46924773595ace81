// The learning-rate range test (Smith, "Cyclical learning rates for training neural networks", 2017): train a
// few dozen steps at rates that grow from tiny to far too large, and look where the loss falls fastest. Below
// the programs, beside the trainer: it uses the same step and loader, and leaves no trace in the model's run.
#pragma once
#include <filesystem>
#include <vector>

#include "apps/train/train_step.h"

namespace sagitta::apps {

struct LrFinderOptions {
  double first = 1e-7, last = 10;
  std::int64_t steps = 100;  // at most
  double smoothing = 0.9;    // of the moving average of the losses
  double divergence = 4;     // ends where the smoothed loss is this many times its minimum, or not finite
};

struct LrTrial {
  double learning_rate = 0, loss = 0, smoothed = 0;
};

// Trains `step` and returns what came of each rate; the weights are spoiled after it. `loader` begins again
// as often as it takes.
std::vector<LrTrial> find_learning_rate(TrainStep& step, data::Loader& loader, std::uint64_t seed,
                                        const LrFinderOptions& options = {});

// The rate at which the smoothed loss falls fastest per factor of the rate; 0 when it never falls.
double steepest_rate(const std::vector<LrTrial>& trials);

// FOLDER/lr_finder.json and lr_finder.html, a page with the plot.
void write_lr_finder(const std::filesystem::path& folder, const std::vector<LrTrial>& trials);

}  // namespace sagitta::apps
