// A real head CT for tests: Debian's invesalius-examples, 108 x 256 x 256 voxels.
#pragma once
#include "tests/ct_fixture.h"

namespace sagitta::testing {

inline constexpr int kHeadSlices = 108, kHeadSide = 256;
inline constexpr double kHeadPixel = 0.957, kHeadStep = 1.5;  // mm

// The head as a volume; null, with a message, where the example is not installed.
const data::Volume* real_head();
// A part of the head, for tests that need no more: every second slice, every fourth row and column.
data::Volume small_head(const data::Volume& head);

}  // namespace sagitta::testing
