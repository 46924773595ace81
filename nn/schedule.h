// Learning-rate schedules with linear warm-up, as closed forms of the step or epoch index.
// With s the index (0-based, in `unit`s), W = warmup, T = total:
//   s <  W: base * (d + (1 - d) s / W), d = warmup_start
//   s >= W: floor + (base - floor) * shape, p = (s - W) / (T - W) clamped to 1
//     constant: shape = 1      linear: 1 - p      cosine: (1 + cos(pi p)) / 2      step: gamma^floor((s - W)
//     / step_size)
// With d = 0 and unit step this is the Hugging Face Trainer's linear and cosine schedule; with unit epoch and
// d > 0 it is torchvision's SequentialLR of LinearLR(start_factor = d) and CosineAnnealingLR or StepLR.
#pragma once
#include <cstdint>
#include <string>

namespace sagitta::nn {

struct Schedule {
  enum class Kind { constant, linear, cosine, step };
  enum class Unit { step, epoch };
  Kind kind = Kind::constant;
  Unit unit = Unit::step;
  double base = 0.1;
  double floor = 0;         // the learning rate that linear and cosine end at
  double warmup = 0;        // in units
  double warmup_start = 0;  // factor of `base` at index 0
  double total = 1;         // in units, warm-up included
  double step_size = 30;    // Kind::step: units between decays
  double gamma = 0.1;       // Kind::step: factor per decay

  // The learning rate of optimizer step `step` (0-based) when an epoch has `steps_per_epoch` of them.
  double at(std::int64_t step, std::int64_t steps_per_epoch) const;
};

// "constant", "linear", "cosine" or "step"; throws on anything else.
Schedule::Kind parse_schedule_kind(const std::string& name);

}  // namespace sagitta::nn
