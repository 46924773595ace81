// MovingAverage: the exponential moving average of a model's weights and statistics (Polyak and Juditsky,
// 1992; Tan and Le, 2019), which often generalizes better than the weights themselves. Invariant: after n
// updates it stands for sum_i decay^(n-i) x_i / sum_i decay^(n-i): it starts from nothing, not from the first
// values, so that it is right from the first step on (as Adam's moments are).
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "nn/arena.h"

namespace sagitta::nn {

class MovingAverage {
 public:
  // 0 < decay < 1. Both arguments must outlive this. Memory: the parameters and buffers once more, and while
  // the average is in the model once again. Integer buffers are not averaged.
  MovingAverage(Module& model, ParameterArena& arena, double decay);

  // Adds the model as it is now. Enqueued only, so that it may be captured.
  void update();

  // Puts the average of the `updates` updates so far into the model, until restore(): for evaluation and
  // export.
  void apply(std::int64_t updates);
  void restore();

  // What a checkpoint must keep, by name, beside the model as it is exported; restored in place, which needs
  // the average not to be applied.
  std::vector<std::pair<std::string, Tensor>> state();

 private:
  struct Entry {
    std::string name;
    Tensor model;    // the memory that the model computes with
    Tensor sum;      // of decay^(n-i) (1 - decay) x_i
    Tensor trained;  // what model held before apply(); empty otherwise
  };

  Module& model_;
  double decay_;
  std::vector<Entry> entries_;
};

// While one lives, the average is in the model; without an average, or an update of it, nothing happens.
class AverageInModel {
 public:
  AverageInModel(MovingAverage* average, std::int64_t updates) : average_(updates > 0 ? average : nullptr) {
    if (average_) average_->apply(updates);
  }
  ~AverageInModel() {
    if (average_) average_->restore();
  }
  AverageInModel(const AverageInModel&) = delete;
  AverageInModel& operator=(const AverageInModel&) = delete;

 private:
  MovingAverage* average_;
};

}  // namespace sagitta::nn
