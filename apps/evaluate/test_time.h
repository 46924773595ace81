// Test-time augmentation: the fixed changes under which a slice is looked at again.
#pragma once
#include <cstddef>
#include <vector>

#include "data/augment.h"

namespace sagitta::apps {

inline constexpr std::size_t kMostTestTimeVariants = 9;

// The first `count` of: unchanged; rotated by +-4 degrees; zoomed by 1 +- 0.05; shifted by +-0.03 of the side
// across, and down. Pairs are neighbors, so that an odd count is balanced. Throws Error unless count is 1 to
// kMostTestTimeVariants.
std::vector<data::Augmentation> test_time_variants(std::size_t count);

}  // namespace sagitta::apps
