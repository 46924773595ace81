// A random order as a pure function of its key: batches of an epoch, patients before a split, phantom labels.
// Invariant: the same key and count give the same order on any machine and with any number of threads.
#pragma once
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

#include "tensor/random.h"

namespace sagitta::data {

// A random order of `count` indices: Fisher-Yates with counter-based numbers.
inline std::vector<std::size_t> shuffled(std::size_t count, random::Key key) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (std::size_t i = count; i > 1; --i) {
    const std::uint64_t word = random::bits(key, i);
    std::swap(order[i - 1], order[static_cast<std::size_t>(word * i >> 32)]);
  }
  return order;
}

}  // namespace sagitta::data
