#include "data/sagittal.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "tensor/error.h"

namespace sagitta::data {
namespace {

constexpr int kMaxSide = 4096;

// Interpolates a volume at any point of the patient.
class Sampler {
 public:
  explicit Sampler(const Volume& volume) : volume_(volume), normal_(volume.normal()) {
    for (const Vec3& position : volume.positions) {
      along_.push_back(dot(position, normal_));
      column_origin_.push_back(dot(position, volume.row_direction) / volume.column_spacing);
      row_origin_.push_back(dot(position, volume.column_direction) / volume.row_spacing);
    }
    mean_gap_ =
        along_.size() > 1 ? (along_.back() - along_.front()) / static_cast<double>(along_.size() - 1) : 1;
  }

  double mean_gap() const { return mean_gap_; }
  double row_origin(int slice) const { return row_origin_[static_cast<std::size_t>(slice)]; }
  double column_origin(int slice) const { return column_origin_[static_cast<std::size_t>(slice)]; }

  // The slices on both sides of the plane at height t along the normal; false outside the stack.
  bool bracket(double t, int& lower, int& upper, double& weight) const {
    const int last = volume_.slices - 1;
    // A voxel reaches half a gap beyond its center; there the outermost slice stands alone.
    if (t < along_.front() - mean_gap_ / 2 || t > along_.back() + mean_gap_ / 2) return false;
    int k = std::clamp(static_cast<int>((t - along_.front()) / mean_gap_), 0, last);
    while (k > 0 && t < along_[static_cast<std::size_t>(k)]) --k;
    while (k < last && t >= along_[static_cast<std::size_t>(k) + 1]) ++k;
    lower = k;
    upper = std::min(k + 1, last);
    const double gap = along_[static_cast<std::size_t>(upper)] - along_[static_cast<std::size_t>(lower)];
    weight = gap > 0 ? std::clamp((t - along_[static_cast<std::size_t>(lower)]) / gap, 0.0, 1.0) : 0;
    return true;
  }

  double operator()(const Vec3& point) const {
    int lower = 0, upper = 0;
    double weight = 0;
    if (!bracket(dot(point, normal_), lower, upper, weight)) return kAirHu;
    const double column = dot(point, volume_.row_direction) / volume_.column_spacing;
    const double row = dot(point, volume_.column_direction) / volume_.row_spacing;
    const double below = in_slice(lower, row, column);
    return weight == 0 ? below : below + weight * (in_slice(upper, row, column) - below);
  }

 private:
  // Bilinear; `row` and `column` count from the patient origin, each slice has its own offset.
  double in_slice(int slice, double row, double column) const {
    row -= row_origin_[static_cast<std::size_t>(slice)];
    column -= column_origin_[static_cast<std::size_t>(slice)];
    if (!(row >= -0.5 && row <= volume_.rows - 0.5 && column >= -0.5 && column <= volume_.columns - 0.5))
      return kAirHu;
    row = std::clamp(row, 0.0, volume_.rows - 1.0);
    column = std::clamp(column, 0.0, volume_.columns - 1.0);
    const int r = static_cast<int>(row), c = static_cast<int>(column);
    const int r1 = std::min(r + 1, volume_.rows - 1), c1 = std::min(c + 1, volume_.columns - 1);
    const double fr = row - r, fc = column - c;
    const double top = volume_.at(slice, r, c) * (1 - fc) + volume_.at(slice, r, c1) * fc;
    const double bottom = volume_.at(slice, r1, c) * (1 - fc) + volume_.at(slice, r1, c1) * fc;
    return top * (1 - fr) + bottom * fr;
  }

  const Volume& volume_;
  Vec3 normal_;
  std::vector<double> along_, column_origin_, row_origin_;  // per slice
  double mean_gap_ = 1;
};

bool is_upright(const Volume& volume) {
  return volume.row_direction == Vec3{1, 0, 0} && volume.column_direction == Vec3{0, 1, 0};
}

// The lines of one plane through a volume whose axes are the patient's: what depends on the slice alone, and
// on the place in the line alone, is computed once. The same arithmetic as Sampler's, and bitwise the same
// values.
class UprightSampler {
 public:
  UprightSampler(const Volume& volume, const Sampler& sampler, double x_mm, const std::vector<double>& ys)
      : sampler_(sampler), width_(ys.size()), values_(ys.size() * static_cast<std::size_t>(volume.slices)) {
    std::vector<double> profile(static_cast<std::size_t>(volume.rows));  // the slice along y, at x
    std::vector<RowTap> taps;
    for (int slice = 0; slice < volume.slices; ++slice) {
      if (slice == 0 || sampler.row_origin(slice) != sampler.row_origin(slice - 1))
        taps = row_taps(volume, sampler.row_origin(slice), ys);
      double* values = values_.data() + static_cast<std::size_t>(slice) * width_;
      if (!fill_profile(volume, slice, x_mm / volume.column_spacing - sampler.column_origin(slice),
                        profile)) {
        std::fill_n(values, width_, double(kAirHu));
        continue;
      }
      for (std::size_t i = 0; i < width_; ++i) {
        const RowTap& tap = taps[i];
        values[i] = tap.lower < 0 ? double(kAirHu)
                                  : profile[static_cast<std::size_t>(tap.lower)] * (1 - tap.weight) +
                                        profile[static_cast<std::size_t>(tap.upper)] * tap.weight;
      }
    }
  }

  // Values at height z.
  void line(double z, std::vector<double>& values) const {
    int lower = 0, upper = 0;
    double weight = 0;
    if (!sampler_.bracket(z, lower, upper, weight)) return values.assign(width_, kAirHu);
    const double* below = values_.data() + static_cast<std::size_t>(lower) * width_;
    const double* above = values_.data() + static_cast<std::size_t>(upper) * width_;
    if (weight == 0) return values.assign(below, below + width_);
    for (std::size_t i = 0; i < width_; ++i) values[i] = below[i] + weight * (above[i] - below[i]);
  }

 private:
  struct RowTap {
    int lower = -1, upper = -1;  // rows; -1: outside
    double weight = 0;           // of the upper
  };

  static std::vector<RowTap> row_taps(const Volume& volume, double origin, const std::vector<double>& ys) {
    std::vector<RowTap> taps;
    for (const double y : ys) {
      double row = y / volume.row_spacing - origin;
      if (!(row >= -0.5 && row <= volume.rows - 0.5)) {
        taps.push_back({});
        continue;
      }
      row = std::clamp(row, 0.0, volume.rows - 1.0);
      const int r = static_cast<int>(row);
      taps.push_back({r, std::min(r + 1, volume.rows - 1), row - r});
    }
    return taps;
  }

  // False if the column is outside.
  static bool fill_profile(const Volume& volume, int slice, double column, std::vector<double>& profile) {
    if (!(column >= -0.5 && column <= volume.columns - 0.5)) return false;
    column = std::clamp(column, 0.0, volume.columns - 1.0);
    const int c = static_cast<int>(column), c1 = std::min(c + 1, volume.columns - 1);
    const double fc = column - c;
    for (int row = 0; row < volume.rows; ++row)
      profile[static_cast<std::size_t>(row)] =
          volume.at(slice, row, c) * (1 - fc) + volume.at(slice, row, c1) * fc;
    return true;
  }

  const Sampler& sampler_;
  std::size_t width_;
  std::vector<double> values_;  // [slices, width]
};

struct Extent {
  double y_low, y_high, z_low, z_high;
};

// The bounding box, in y and z, of all voxel centers.
Extent extent_of(const Volume& volume) {
  require(volume.slices > 0 && volume.rows > 0 && volume.columns > 0, "sagittal: the volume is empty");
  constexpr double kFar = std::numeric_limits<double>::max();
  Extent extent{kFar, -kFar, kFar, -kFar};
  for (int slice = 0; slice < volume.slices; ++slice) {
    for (const double row : {0.0, volume.rows - 1.0}) {
      for (const double column : {0.0, volume.columns - 1.0}) {
        const Vec3 corner = volume.to_lps(slice, row, column);
        extent.y_low = std::min(extent.y_low, corner[1]);
        extent.y_high = std::max(extent.y_high, corner[1]);
        extent.z_low = std::min(extent.z_low, corner[2]);
        extent.z_high = std::max(extent.z_high, corner[2]);
      }
    }
  }
  return extent;
}

// How many samples across one pixel see every voxel.
int samples_across(double pixel_mm, double voxel_mm) {
  return std::clamp(static_cast<int>(std::ceil(pixel_mm / voxel_mm - 0.01)), 1, 16);
}

}  // namespace

SagittalGrid natural_grid(const Volume& volume, double spacing_mm) {
  require(spacing_mm > 0 && std::isfinite(spacing_mm), "sagittal: spacing is {} mm, expected above 0",
          spacing_mm);
  const Extent extent = extent_of(volume);
  // The small tolerance keeps the last pixel when the extent is a whole number of pixels but for rounding.
  const double width = std::floor((extent.y_high - extent.y_low) / spacing_mm + 1e-6) + 1;
  const double height = std::floor((extent.z_high - extent.z_low) / spacing_mm + 1e-6) + 1;
  require(width <= kMaxSide && height <= kMaxSide,
          "sagittal: {} x {} pixels at {} mm, expected at most {} a side", width, height, spacing_mm,
          kMaxSide);
  return {static_cast<int>(width), static_cast<int>(height), spacing_mm, extent.y_low, extent.z_high};
}

SagittalGrid square_grid(const Volume& volume, int size) {
  require(size >= 2 && size <= kMaxSide, "sagittal: size is {} pixels, expected 2..{}", size, kMaxSide);
  const Extent extent = extent_of(volume);
  const double longest = std::max({extent.y_high - extent.y_low, extent.z_high - extent.z_low, 1e-3});
  const double spacing = longest / (size - 1);
  return {size, size, spacing, (extent.y_low + extent.y_high - longest) / 2,
          (extent.z_low + extent.z_high + longest) / 2};
}

SagittalPlane cut_sagittal(const Volume& volume, const SagittalGrid& grid, double x_mm) {
  const Sampler sample(volume);
  const int across_y = samples_across(grid.spacing_mm, std::min(volume.row_spacing, volume.column_spacing));
  const int across_z = samples_across(grid.spacing_mm, sample.mean_gap());
  SagittalPlane plane{grid, x_mm, {}};
  plane.hu.reserve(static_cast<std::size_t>(grid.width) * static_cast<std::size_t>(grid.height));
  std::vector<double> ys, line(static_cast<std::size_t>(grid.width * across_y)), sums;
  for (int column = 0; column < grid.width; ++column)
    for (int i = 0; i < across_y; ++i)
      ys.push_back(grid.y_first + (column + (i + 0.5) / across_y - 0.5) * grid.spacing_mm);
  std::optional<UprightSampler> upright;
  if (is_upright(volume)) upright.emplace(volume, sample, x_mm, ys);
  for (int row = 0; row < grid.height; ++row) {
    sums.assign(static_cast<std::size_t>(grid.width), 0);
    for (int j = 0; j < across_z; ++j) {
      const double z = grid.z_first - (row + (j + 0.5) / across_z - 0.5) * grid.spacing_mm;
      if (upright)
        upright->line(z, line);
      else
        for (std::size_t i = 0; i < ys.size(); ++i) line[i] = sample({x_mm, ys[i], z});
      const double* value = line.data();
      for (double& sum : sums)
        for (int i = 0; i < across_y; ++i) sum += *value++;
    }
    for (const double sum : sums) plane.hu.push_back(static_cast<float>(sum / (across_y * across_z)));
  }
  return plane;
}

std::vector<SourceRange> source_rows(const Volume& volume, const SagittalGrid& grid, double x_mm) {
  const Sampler sample(volume);
  std::vector<SourceRange> ranges;
  for (int row = 0; row < grid.height; ++row) {
    SourceRange range{-1, -1};
    for (const double column : {0.0, (grid.width - 1) / 2.0, grid.width - 1.0}) {
      const Vec3 point{x_mm, grid.y_first + column * grid.spacing_mm, grid.z_first - row * grid.spacing_mm};
      int lower = 0, upper = 0;
      double weight = 0;
      if (!sample.bracket(dot(point, volume.normal()), lower, upper, weight)) continue;
      if (weight == 0) upper = lower;
      range.first = range.first < 0 ? lower : std::min(range.first, lower);
      range.last = std::max(range.last, upper);
    }
    ranges.push_back(range);
  }
  return ranges;
}

std::vector<double> plane_positions(double center_mm, double span_mm, int count) {
  require(count >= 1, "sagittal: {} planes, expected at least 1", count);
  if (count == 1) return {center_mm};
  std::vector<double> positions;
  for (int k = 0; k < count; ++k)
    positions.push_back(center_mm + span_mm * (static_cast<double>(k) / (count - 1) - 0.5));
  return positions;
}

}  // namespace sagitta::data
