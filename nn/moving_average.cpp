#include "nn/moving_average.h"

#include <cmath>

#include "nn/checkpoint.h"
#include "tensor/error.h"

namespace sagitta::nn {

MovingAverage::MovingAverage(Module& model, ParameterArena& arena, double decay)
    : model_(model), decay_(decay) {
  require(decay > 0 && decay < 1, "moving average: decay is {}, expected above 0 and below 1", decay);
  const auto add = [&](const std::string& name, const Tensor& value) {
    entries_.push_back({name, value, zeros(value.backend(), value.shape(), value.dtype()), {}});
  };
  add("parameters", arena.values());
  for (const NamedBuffer& named : model.named_buffers())
    if (is_floating(named.buffer->value().dtype())) add(named.name, named.buffer->value());
}

void MovingAverage::update() {
  for (Entry& entry : entries_) entry.sum.backend().update_average(decay_, entry.model, entry.sum);
}

void MovingAverage::apply(std::int64_t updates) {
  require(updates >= 1, "moving average: is of {} updates, expected at least one", updates);
  const double weights = 1 - std::pow(decay_, static_cast<double>(updates));  // their sum
  for (Entry& entry : entries_) {
    require(!entry.trained, "moving average: is applied already; restore() first");
    Backend& backend = entry.model.backend();
    entry.trained = entry.model.like();
    backend.convert(entry.model, entry.trained);
    backend.scale(entry.sum, 1 / weights, {entry.model});
  }
  refresh_copies(model_);
}

void MovingAverage::restore() {
  for (Entry& entry : entries_) {
    require(static_cast<bool>(entry.trained), "moving average: is not applied; there is nothing to restore");
    entry.model.backend().convert(entry.trained, entry.model);
    entry.trained = {};
  }
  refresh_copies(model_);
}

std::vector<std::pair<std::string, Tensor>> MovingAverage::state() {
  std::vector<std::pair<std::string, Tensor>> all;
  for (const Entry& entry : entries_) {
    all.emplace_back("average." + entry.name, entry.sum);
    all.emplace_back("trained." + entry.name, entry.trained ? entry.trained : entry.model);
  }
  return all;
}

}  // namespace sagitta::nn
