#include "nn/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/error.h"

namespace sagitta::nn {

double Schedule::at(std::int64_t step, std::int64_t steps_per_epoch) const {
  const auto s =
      static_cast<double>(unit == Unit::step ? step : step / std::max<std::int64_t>(1, steps_per_epoch));
  if (s < warmup) return base * (warmup_start + (1 - warmup_start) * s / warmup);
  // A total shorter than the warm-up leaves at least one unit, as the Trainer's max(1, T - W) does.
  const double p = std::min(1.0, (s - warmup) / std::max(1.0, total - warmup));
  double shape = 1;
  switch (kind) {
    case Kind::constant: break;
    case Kind::linear: shape = 1 - p; break;
    case Kind::cosine: shape = 0.5 * (1 + std::cos(std::numbers::pi * p)); break;
    case Kind::step: return base * std::pow(gamma, std::floor((s - warmup) / step_size));
  }
  return kind == Kind::constant ? base : floor + (base - floor) * shape;
}

Schedule::Kind parse_schedule_kind(const std::string& name) {
  if (name == "constant") return Schedule::Kind::constant;
  if (name == "linear") return Schedule::Kind::linear;
  if (name == "cosine") return Schedule::Kind::cosine;
  if (name == "step") return Schedule::Kind::step;
  fail("schedule: kind is '{}', expected constant, linear, cosine or step", name);
}

}  // namespace sagitta::nn
