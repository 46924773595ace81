#include "models/heat_map.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "tensor/backend.h"
#include "tensor/error.h"

namespace sagitta::models {
namespace {

// Where along one axis the center of a pixel lies between the centers of two cells.
struct Between {
  std::int64_t lower = 0, upper = 0;
  float weight = 0;  // of the upper
};

std::vector<Between> places(std::int64_t pixels, double pixels_per_cell, std::int64_t cells) {
  std::vector<Between> result;
  for (std::int64_t p = 0; p < pixels; ++p) {
    const double at = std::clamp((static_cast<double>(p) + 0.5) / pixels_per_cell - 0.5, 0.0,
                                 static_cast<double>(cells - 1));
    const auto lower = static_cast<std::int64_t>(at);
    result.push_back(
        {lower, std::min(lower + 1, cells - 1), static_cast<float>(at - static_cast<double>(lower))});
  }
  return result;
}

void enlarge(std::span<const float> map, std::int64_t columns, const std::vector<Between>& down,
             const std::vector<Between>& across, std::span<float> heat) {
  std::size_t pixel = 0;
  for (const Between& y : down) {
    for (const Between& x : across) {
      const auto at = [&](std::int64_t row, std::int64_t column) {
        return map[static_cast<std::size_t>(row * columns + column)];
      };
      const float above = (1 - x.weight) * at(y.lower, x.lower) + x.weight * at(y.lower, x.upper);
      const float below = (1 - x.weight) * at(y.upper, x.lower) + x.weight * at(y.upper, x.upper);
      heat[pixel++] = (1 - y.weight) * above + y.weight * below;
    }
  }
}

}  // namespace

Tensor heat_of(const CellMaps& maps, std::int64_t height, std::int64_t width) {
  const auto cells = static_cast<std::size_t>(maps.rows * maps.columns),
             area = static_cast<std::size_t>(height * width);
  require(cells > 0 && maps.values.size() % cells == 0, "heat map: {} values, expected a multiple of {} x {}",
          maps.values.size(), maps.rows, maps.columns);
  const std::size_t pictures = maps.values.size() / cells;
  const std::vector<Between> down = places(height, maps.pixels_per_row, maps.rows),
                             across = places(width, maps.pixels_per_column, maps.columns);
  std::vector<float> heat(pictures * area);
  for (std::size_t i = 0; i < pictures; ++i) {
    const std::span<const float> map = std::span(maps.values).subspan(i * cells, cells);
    require(std::all_of(map.begin(), map.end(), [](float value) { return std::isfinite(value); }),
            "heat map: picture {} has values that are not finite; the model's weights or pixels are damaged",
            i);
    const std::span<float> mine = std::span(heat).subspan(i * area, area);
    enlarge(map, maps.columns, down, across, mine);
    const float largest = *std::max_element(mine.begin(), mine.end());
    for (float& value : mine) value = largest > 0 ? std::max(value, 0.0F) / largest : 0;
  }
  return from_host(cpu_backend(), {static_cast<std::int64_t>(pictures), height, width}, heat);
}

std::vector<float> floats_of(const Tensor& tensor) {
  if (tensor.dtype() == DType::f32) return to_host<float>(tensor);
  Tensor converted(tensor.backend(), tensor.shape(), DType::f32);
  tensor.backend().convert(tensor, converted);
  return to_host<float>(converted);
}

}  // namespace sagitta::models
