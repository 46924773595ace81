// How a synthetic patient is scanned: geometry, noise, and how HU become stored words. Studies differ as real
// ones do. Invariant: every voxel is a pure function of (patient, scan, slice, row, column), so any number of
// threads gives the same.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/phantom_field.h"
#include "data/vec3.h"

namespace sagitta::data {

struct ScanOptions {
  int size = 256;        // pixels per side of the axial image
  double step_mm = 0.8;  // average distance of slices; a study's own is 0.8 to 1.2 times this
};

struct Scan {
  int size = 256, slices = 0;
  double pixel_mm = 0, step_mm = 0;
  double thickness_mm = 0;  // beam width, not the step
  double tilt = 0;          // of the gantry, radians; the table still moves along z, so the stack is sheared
  Point first{};            // center of the top slice, in the phantom's frame
  Vec3 table{};             // what is added to positions in the file
  bool ascending = false;   // file numbers grow with z; most studies count down from the head
  int first_number = 1;     // of the files
  double intercept = -1024;
  bool is_signed = false;
  int bits_stored = 16;
  std::optional<int> padding;  // stored word outside the circle of reconstruction
  double noise_hu = 20;
  double sharpening = 0.12;  // of the bone kernel
  std::uint64_t noise_seed = 0;
};

// A protocol for study number `study`. Covers the skull base to T2.
Scan sample_scan(const Patient& patient, const ScanOptions& options, std::uint64_t seed, int study);

// Slice 0 is the one nearest the head.
Point voxel_position(const Scan& scan, int slice, double row, double column);
int file_number(const Scan& scan, int slice);

// The stored words of a slice, row-major.
std::vector<std::uint16_t> render_slice(const PhantomField& field, const Scan& scan, int slice);

// In-plane resolution that suits the voxels of a scan.
float blur_mm(const Scan& scan);

// The part of slice `slice` that a fracture's region covers, in pixels: {x, y, width, height}; empty if none.
std::optional<std::array<double, 4>> fracture_box(const Patient& patient, const Fracture& fracture,
                                                  const Scan& scan, int slice);

}  // namespace sagitta::data
