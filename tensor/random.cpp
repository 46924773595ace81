#include "tensor/random.h"

#include <cmath>
#include <numbers>

namespace sagitta::random {

double normal(Key key, std::uint64_t index) {
  const std::uint64_t high = (static_cast<std::uint64_t>(key.stream) << 32) | key.step;
  const Block block = philox(key.seed, index, high);
  // (w + 1) / 2^32 lies in (0, 1]: the logarithm is finite.
  const double radius = std::sqrt(-2 * std::log((block.word[0] + 1.0) * 0x1p-32));
  return radius * std::cos(2 * std::numbers::pi * block.word[1] * 0x1p-32);
}

}  // namespace sagitta::random
