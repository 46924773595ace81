// A stack of CT slices as voxels in Hounsfield units, with the position of every slice.
// Stands between series.h (which slices, in which order) and sagittal.h (planes cut through it).
// Invariant: slice z lies at positions[z]; the stack may be sheared (gantry tilt) and its distances may
// differ.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "data/huge_pages.h"
#include "data/series.h"
#include "data/vec3.h"

namespace sagitta::data {

// Where a slice of the volume came from, to relate results to the files again.
struct SourceSlice {
  std::string sop_uid;
  int file_number = -1;  // n of "n.dcm", -1 if unknown
  int instance_number = 0;
};

struct Volume {
  int slices = 0, rows = 0, columns = 0;
  std::vector<std::int16_t, HugePages<std::int16_t>> hu;  // [slices, rows, columns], at least kAirHu
  Vec3 row_direction{1, 0, 0};                            // of increasing column index
  Vec3 column_direction{0, 1, 0};                         // of increasing row index
  double row_spacing = 1, column_spacing = 1;             // mm between rows, between columns
  std::vector<Vec3>
      positions;  // [slices] center of voxel (row 0, column 0), LPS mm; ascending along normal()
  std::vector<SourceSlice> sources;  // [slices]

  std::int16_t at(int slice, int row, int column) const {
    return hu[(static_cast<std::size_t>(slice) * rows + row) * columns + column];
  }
  Vec3 normal() const { return cross(row_direction, column_direction); }
  // Center of a voxel in LPS mm, from the real position of its slice.
  Vec3 to_lps(int slice, double row, double column) const;
  // Row-major 3x4 map (column, row, slice, 1) -> LPS mm: exact for evenly spaced stacks, sheared ones
  // included.
  std::array<double, 12> affine() const;
};

// Decodes all slices with `threads` threads. Throws Error if the series was refused, a slice cannot be
// decoded, or the volume would exceed 8 GiB.
Volume load_volume(const Series& series, int threads = 1);
// The same into `volume`, in whose memory, if it is large enough, the new voxels go: for one study after the
// other.
void load_volume(const Series& series, int threads, Volume& volume);

}  // namespace sagitta::data
