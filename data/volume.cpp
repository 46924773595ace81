#include "data/volume.h"

#include <exception>

#include "tensor/error.h"

namespace sagitta::data {
namespace {

constexpr std::size_t kMaxVoxels = std::size_t{4} << 30;

}  // namespace

Vec3 Volume::to_lps(int slice, double row, double column) const {
  return add(positions[static_cast<std::size_t>(slice)],
             add(scale(row_direction, column * column_spacing), scale(column_direction, row * row_spacing)));
}

std::array<double, 12> Volume::affine() const {
  const Vec3 u = scale(row_direction, column_spacing);
  const Vec3 v = scale(column_direction, row_spacing);
  const Vec3 step =
      slices > 1 ? scale(subtract(positions.back(), positions.front()), 1.0 / (slices - 1)) : normal();
  const Vec3& origin = positions.front();
  std::array<double, 12> matrix{};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    matrix[axis * 4 + 0] = u[axis];
    matrix[axis * 4 + 1] = v[axis];
    matrix[axis * 4 + 2] = step[axis];
    matrix[axis * 4 + 3] = origin[axis];
  }
  return matrix;
}

Volume load_volume(const Series& series, int threads) {
  Volume volume;
  load_volume(series, threads, volume);
  return volume;
}

void load_volume(const Series& series, int threads, Volume& volume) {
  require(series.report.verdict != Verdict::refused && !series.slices.empty(),
          "load_volume: the series was refused: {}",
          series.report.reasons.empty() ? "no slices" : series.report.reasons.front());
  const CtSlice& first = series.slices.front();
  const std::size_t plane = static_cast<std::size_t>(first.rows) * static_cast<std::size_t>(first.columns);
  require(plane * series.slices.size() <= kMaxVoxels, "load_volume: {} slices of {} x {} exceed 8 GiB",
          series.slices.size(), first.rows, first.columns);
  // One slice is decoded before the whole is allocated: a header that lies about its size is found out
  // cheaply.
  {
    std::vector<std::int16_t> probe(plane);
    read_hu(first, probe);
  }
  volume.slices = static_cast<int>(series.slices.size());
  volume.rows = first.rows;
  volume.columns = first.columns;
  volume.row_direction = first.row_direction;
  volume.column_direction = first.column_direction;
  volume.row_spacing = first.row_spacing;
  volume.column_spacing = first.column_spacing;
  volume.positions.clear();
  volume.sources.clear();
  for (const CtSlice& slice : series.slices) {
    volume.positions.push_back(slice.position);
    volume.sources.push_back({slice.sop_uid, slice.file_number, slice.instance_number});
  }
  volume.hu.clear();  // or a larger volume would begin as a copy of the old one
  volume.hu.resize(plane * series.slices.size());

  std::exception_ptr error;
#pragma omp parallel num_threads(threads)
  {
    HuReader reader;
#pragma omp for schedule(dynamic)
    for (int z = 0; z < volume.slices; ++z) {
      try {
        reader.read(series.slices[static_cast<std::size_t>(z)],
                    std::span(volume.hu).subspan(static_cast<std::size_t>(z) * plane, plane));
      } catch (...) {
        // An exception must not leave a parallel region.
#pragma omp critical
        error = std::current_exception();
      }
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace sagitta::data
