#include "data/fracture_boxes.h"

#include <algorithm>
#include <cmath>

namespace sagitta::data {
namespace {

// Boxes by the index of their slice in the stack.
std::map<std::size_t, std::vector<BoundingBox>> by_slice(const AxialStack& stack,
                                                         const std::vector<BoundingBox>& boxes) {
  std::map<int, std::size_t> slice_of;
  for (std::size_t i = 0; i < stack.file_numbers.size(); ++i) slice_of[stack.file_numbers[i]] = i;
  std::map<std::size_t, std::vector<BoundingBox>> result;
  for (const BoundingBox& box : boxes)
    if (const auto slice = slice_of.find(box.slice_number); slice != slice_of.end())
      result[slice->second].push_back(box);
  return result;
}

// The slice nearest to height t along the normal, among `along` (ascending); none more than half a gap
// outside.
std::optional<std::size_t> nearest_slice(const std::vector<double>& along, double t) {
  if (along.size() < 2) return std::nullopt;
  const auto above =
      static_cast<std::size_t>(std::lower_bound(along.begin(), along.end(), t) - along.begin());
  const std::size_t upper = std::clamp<std::size_t>(above, 1, along.size() - 1), lower = upper - 1;
  const std::size_t nearest = t - along[lower] <= along[upper] - t ? lower : upper;
  if (std::abs(t - along[nearest]) > (along[upper] - along[lower]) / 2) return std::nullopt;
  return nearest;
}

bool holds(const BoundingBox& box, double row, double column) {
  return column >= box.x && column <= box.x + box.width && row >= box.y && row <= box.y + box.height;
}

}  // namespace

AxialStack axial_stack(const Volume& volume) {
  AxialStack stack{.file_numbers = {},
                   .positions = volume.positions,
                   .row_direction = volume.row_direction,
                   .column_direction = volume.column_direction,
                   .row_spacing = volume.row_spacing,
                   .column_spacing = volume.column_spacing};
  for (const SourceSlice& source : volume.sources) stack.file_numbers.push_back(source.file_number);
  return stack;
}

std::optional<LevelBoxes> boxes_of_levels(const AxialStack& stack, const std::vector<BoundingBox>& boxes,
                                          const std::array<int, 7>& fractured) {
  std::vector<std::vector<BoundingBox>> groups;  // from head to feet
  const auto slices = by_slice(stack, boxes);
  std::optional<std::size_t> previous;
  for (auto slice = slices.rbegin(); slice != slices.rend(); ++slice) {
    if (!previous || *previous != slice->first + 1) groups.emplace_back();
    groups.back().insert(groups.back().end(), slice->second.begin(), slice->second.end());
    previous = slice->first;
  }
  std::vector<int> levels;
  for (int level = 1; level <= 7; ++level)
    if (fractured[static_cast<std::size_t>(level - 1)]) levels.push_back(level);
  if (groups.empty() || levels.empty()) return std::nullopt;
  LevelBoxes result;
  if (levels.size() != 1 && groups.size() != levels.size()) return std::nullopt;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    std::vector<BoundingBox>& own = result[levels[std::min(i, levels.size() - 1)]];
    own.insert(own.end(), groups[i].begin(), groups[i].end());
  }
  return result;
}

std::vector<std::uint8_t> boxes_in_plane(const AxialStack& stack, const std::vector<BoundingBox>& boxes,
                                         double x_mm, const std::vector<double>& ys,
                                         const std::vector<double>& zs) {
  const Vec3 normal = stack.normal();
  std::vector<double> along;
  for (const Vec3& position : stack.positions) along.push_back(dot(position, normal));
  const auto slices = by_slice(stack, boxes);
  std::vector<std::uint8_t> inside;
  inside.reserve(ys.size() * zs.size());
  for (const double z : zs) {
    for (const double y : ys) {
      const Vec3 point{x_mm, y, z};
      const std::optional<std::size_t> slice = nearest_slice(along, dot(point, normal));
      const auto found = slice ? slices.find(*slice) : slices.end();
      bool is_inside = false;
      if (found != slices.end()) {
        const Vec3 offset = subtract(point, stack.positions[*slice]);
        const double row = dot(offset, stack.column_direction) / stack.row_spacing;
        const double column = dot(offset, stack.row_direction) / stack.column_spacing;
        for (const BoundingBox& box : found->second) is_inside |= holds(box, row, column);
      }
      inside.push_back(is_inside ? 1 : 0);
    }
  }
  return inside;
}

}  // namespace sagitta::data
