// Where the spine is, left to right. In every axial slice the body is the largest connected region above -300
// HU, which drops table, cushions and separate arms; bone is looked for in its back half, which drops the
// jaw. From the middle of the body a window of +-30 mm moves to the center of the bone inside it until it
// rests (mean shift), which ignores shoulders and scapulae. The answer is the median over the slices, so that
// a few levels with metal, a turned jaw or a cut-off shoulder do not matter.
#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "data/sagittal.h"

namespace sagitta::data {
namespace {

constexpr double kStep = 2.0;  // mm between looked-at voxels
constexpr int kBodyHu = -300, kBoneHu = 250;
constexpr double kHalfWindow = 30;  // mm; a cervical vertebra is 50 to 60 wide
constexpr double kLeastBone = 120;  // mm^2 of bone that a vertebra shows in a slice

// One slice, thinned to about kStep.
struct Thinned {
  int rows, columns;
  std::vector<std::int16_t> hu;
  std::vector<double> x, y;  // LPS mm of each kept voxel
  double area;               // mm^2 that one voxel stands for
};

Thinned thin(const Volume& volume, int slice) {
  const int row_step = std::max(1, static_cast<int>(std::lround(kStep / volume.row_spacing)));
  const int column_step = std::max(1, static_cast<int>(std::lround(kStep / volume.column_spacing)));
  Thinned thinned{(volume.rows + row_step - 1) / row_step,
                  (volume.columns + column_step - 1) / column_step,
                  {},
                  {},
                  {},
                  row_step * volume.row_spacing * column_step * volume.column_spacing};
  for (int row = 0; row < volume.rows; row += row_step) {
    for (int column = 0; column < volume.columns; column += column_step) {
      const Vec3 point = volume.to_lps(slice, row, column);
      thinned.hu.push_back(volume.at(slice, row, column));
      thinned.x.push_back(point[0]);
      thinned.y.push_back(point[1]);
    }
  }
  return thinned;
}

// Indices of the largest 4-connected region above kBodyHu.
std::vector<int> largest_region(const Thinned& slice) {
  std::vector<char> seen(slice.hu.size(), 0);
  std::vector<int> best;
  for (std::size_t start = 0; start < slice.hu.size(); ++start) {
    if (seen[start] || slice.hu[start] <= kBodyHu) continue;
    std::vector<int> region{static_cast<int>(start)};
    seen[start] = 1;
    for (std::size_t next = 0; next < region.size(); ++next) {
      const int at = region[next], row = at / slice.columns, column = at % slice.columns;
      const auto visit = [&](int neighbor, bool inside) {
        if (!inside || seen[static_cast<std::size_t>(neighbor)] ||
            slice.hu[static_cast<std::size_t>(neighbor)] <= kBodyHu)
          return;
        seen[static_cast<std::size_t>(neighbor)] = 1;
        region.push_back(neighbor);
      };
      visit(at - slice.columns, row > 0);
      visit(at + slice.columns, row + 1 < slice.rows);
      visit(at - 1, column > 0);
      visit(at + 1, column + 1 < slice.columns);
    }
    if (region.size() > best.size()) best = std::move(region);
  }
  return best;
}

struct Level {
  double body_x;                 // middle of the body
  std::optional<double> bone_x;  // where the window came to rest
};

std::optional<Level> look_at(const Thinned& slice) {
  const std::vector<int> body = largest_region(slice);
  if (static_cast<double>(body.size()) * slice.area < 2000) return std::nullopt;  // less than a neck
  double sum_x = 0, sum_y = 0;
  for (const int at : body) {
    sum_x += slice.x[static_cast<std::size_t>(at)];
    sum_y += slice.y[static_cast<std::size_t>(at)];
  }
  const double count = static_cast<double>(body.size());
  const double middle_y = sum_y / count;
  Level level{sum_x / count, std::nullopt};

  // Vertebral bodies lie about at the middle of the neck: a centimeter of grace keeps them whole.
  std::vector<double> bone;
  for (const int at : body)
    if (slice.hu[static_cast<std::size_t>(at)] > kBoneHu &&
        slice.y[static_cast<std::size_t>(at)] > middle_y - 10)
      bone.push_back(slice.x[static_cast<std::size_t>(at)]);
  double center = level.body_x;
  for (int pass = 0; pass < 20; ++pass) {
    double sum = 0, inside = 0;
    for (const double x : bone) {
      if (std::abs(x - center) > kHalfWindow) continue;
      sum += x;
      ++inside;
    }
    if (inside * slice.area < kLeastBone) return level;
    const double moved = sum / inside;
    if (std::abs(moved - center) < 0.05) break;
    center = moved;
  }
  level.bone_x = center;
  return level;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

Midline find_midline(const Volume& volume) {
  std::vector<double> body, bone;
  const double height = length(subtract(volume.positions.back(), volume.positions.front()));
  const int step = std::max(1, static_cast<int>(kStep * volume.slices / std::max(height, 1.0)));
  for (int slice = 0; slice < volume.slices; slice += step) {
    const std::optional<Level> level = look_at(thin(volume, slice));
    if (!level) continue;
    body.push_back(level->body_x);
    if (level->bone_x) bone.push_back(*level->bone_x);
  }
  if (!bone.empty()) return {median(bone), true};
  if (!body.empty()) return {median(body), false};
  return {volume.to_lps(volume.slices / 2, (volume.rows - 1) / 2.0, (volume.columns - 1) / 2.0)[0], false};
}

}  // namespace sagitta::data
