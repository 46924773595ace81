#include "apps/evaluate/test_time.h"

#include <numbers>

#include "tensor/error.h"

namespace sagitta::apps {

std::vector<data::Augmentation> test_time_variants(std::size_t count) {
  require(count >= 1 && count <= kMostTestTimeVariants, "--tta is {}, expected 1 to {}", count,
          kMostTestTimeVariants);
  constexpr double kAngle = 4 * std::numbers::pi / 180, kZoom = 0.05, kShift = 0.03;
  std::vector<data::Augmentation> variants{{},
                                           {.angle = kAngle},
                                           {.angle = -kAngle},
                                           {.zoom = 1 + kZoom},
                                           {.zoom = 1 - kZoom},
                                           {.shift_x = kShift},
                                           {.shift_x = -kShift},
                                           {.shift_y = kShift},
                                           {.shift_y = -kShift}};
  variants.resize(count);
  return variants;
}

}  // namespace sagitta::apps
