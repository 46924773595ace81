#include "data/sagittal.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "data/plane_sampler.h"
#include "tensor/error.h"

namespace sagitta::data {
namespace {

constexpr int kMaxSide = 4096;

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
  std::optional<ProfileSampler> profiles;
  if (ProfileSampler::suits(volume)) profiles.emplace(sample, x_mm, ys);
  for (int row = 0; row < grid.height; ++row) {
    sums.assign(static_cast<std::size_t>(grid.width), 0);
    for (int j = 0; j < across_z; ++j) {
      const double z = grid.z_first - (row + (j + 0.5) / across_z - 0.5) * grid.spacing_mm;
      if (profiles)
        profiles->line(z, line);
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
      Sampler::Bracket at;
      if (!sample.bracket(dot(point, volume.normal()), at)) continue;
      if (at.weight == 0) at.upper = at.lower;
      range.first = range.first < 0 ? at.lower : std::min(range.first, at.lower);
      range.last = std::max(range.last, at.upper);
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
