#include "apps/predict/plane_axes.h"

#include <algorithm>
#include <cmath>

#include "data/augment.h"

namespace sagitta::apps {

std::vector<int> MmScale::ticks(int pixels) const {
  const double a = mm_at(0), b = mm_at(pixels - 1), low = std::min(a, b), high = std::max(a, b);
  const int step = high - low > 400 ? 100 : high - low > 150 ? 50 : 20;
  std::vector<int> values;
  for (int mm = static_cast<int>(std::ceil(low / step)) * step; mm <= high; mm += step) values.push_back(mm);
  return values;
}

PlaneAxes plane_axes(const data::SagittalGrid& grid, int side) {
  const data::LetterboxPlace place = data::letterbox_place(grid.width, grid.height, side);
  // The letterbox puts the grid's pixel c at place + (c + 1/2) zoom - 1/2.
  const auto scale = [](double first_mm, double spacing_mm, int offset, double zoom) {
    return MmScale{.first_mm = first_mm + ((0.5 - offset) / zoom - 0.5) * spacing_mm,
                   .mm_per_pixel = spacing_mm / zoom};
  };
  const double zoom_y = static_cast<double>(place.width) / grid.width;
  const double zoom_z = static_cast<double>(place.height) / grid.height;
  return {.y = scale(grid.y_first, grid.spacing_mm, place.left, zoom_y),
          .z = scale(grid.z_first, -grid.spacing_mm, place.top, zoom_z)};
}

}  // namespace sagitta::apps
