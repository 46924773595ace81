// A sequence of random numbers over the counter-based generator of the tensor floor: what the phantom draws
// its patients from. Invariant: number k of a (seed, stream) is the same on any thread and any machine.
#pragma once
#include <cmath>
#include <cstdint>
#include <numbers>

#include "tensor/random.h"

namespace sagitta::data {

class CounterRandom {
 public:
  CounterRandom(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}

  // 64 random bits.
  std::uint64_t next() {
    const random::Block block = random::philox(seed_, counter_++, stream_);
    return std::uint64_t{block.word[0]} << 32 | block.word[1];
  }
  // In [low, high).
  double uniform(double low = 0, double high = 1) {
    return low + (high - low) * static_cast<double>(next() >> 11) * 0x1p-53;
  }
  // In [0, count).
  int below(int count) { return static_cast<int>(uniform(0, count)); }
  bool chance(double probability) { return uniform() < probability; }
  // Normal by Box-Muller, cut at 2.5 standard deviations so that no anatomy becomes absurd.
  double normal(double mean, double deviation) {
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    const double value = radius * std::cos(2 * std::numbers::pi * uniform());
    return mean + deviation * std::fmin(std::fmax(value, -2.5), 2.5);
  }

 private:
  std::uint64_t seed_, stream_;
  std::uint64_t counter_ = 0;
};

}  // namespace sagitta::data
