// Random numbers as a pure function of (seed, stream, counter): the same on any thread, in any order, on any
// machine. For synthetic data and splits; training randomness (dropout, initialization) uses the Philox
// generator of the tensor floor.
#pragma once
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>

namespace sagitta::data {

// SplitMix64's finalizer (Steele, Lea, Flood 2014): every bit of the input changes about half of the output
// bits.
constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

constexpr std::uint64_t hash_text(std::uint64_t seed, std::string_view text) {
  std::uint64_t h = mix64(seed);
  for (unsigned char c : text) h = mix64(h ^ c);
  return h;
}

class CounterRandom {
 public:
  CounterRandom(std::uint64_t seed, std::uint64_t stream) : key_(mix64(mix64(seed) ^ stream)) {}

  std::uint64_t next() { return mix64(key_ ^ mix64(counter_++)); }
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
  std::uint64_t key_;
  std::uint64_t counter_ = 0;
};

}  // namespace sagitta::data
