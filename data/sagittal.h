// Sagittal planes cut through a volume: head up, anterior left, square pixels, any tilt undone.
// Last step of the geometry; the pictures that networks see are these planes through a window (window.h).
// Invariant: a pixel is sampled at its real place in the patient (LPS mm), so aspect and direction are always
// right.
#pragma once
#include <vector>

#include "data/volume.h"

namespace sagitta::data {

// The pixel grid shared by all planes of a study.
struct SagittalGrid {
  int width = 0, height = 0;  // columns run to the back (+y), rows to the feet (-z)
  double spacing_mm = 0;      // between pixel centers, both ways
  double y_first = 0;         // LPS y of the first column
  double z_first = 0;         // LPS z of the first row
};

struct SagittalPlane {
  SagittalGrid grid;
  double x_mm = 0;        // LPS x of the whole plane
  std::vector<float> hu;  // [height, width]; air outside the volume
};

// The slices of the volume (indices into Volume::sources) that one row of a plane was interpolated from.
struct SourceRange {
  int first = 0, last = 0;
};

// The smallest grid of this spacing that covers the volume. Throws Error if a side would exceed 4096 pixels.
SagittalGrid natural_grid(const Volume& volume, double spacing_mm);

// A square grid of size x size pixels that just covers the volume, centered, with equal scale both ways
// (letterbox).
SagittalGrid square_grid(const Volume& volume, int size);

// Trilinear interpolation between voxel centers; where the grid is coarser than the volume, the mean over
// each pixel's square (anti-aliasing). Between two slices the point is projected onto both along the normal,
// which holds for sheared and unevenly spaced stacks alike.
SagittalPlane cut_sagittal(const Volume& volume, const SagittalGrid& grid, double x_mm);

// One range per row of the plane at `x_mm`; {-1, -1} for rows outside the volume.
std::vector<SourceRange> source_rows(const Volume& volume, const SagittalGrid& grid, double x_mm);

struct Midline {
  double x_mm = 0;
  bool found = false;  // false: no spine-like bone, x_mm is the middle of the body or of the image
};

// LPS x of the spine, from bone mass; robust to table, jaw, arms and shoulders.
Midline find_midline(const Volume& volume);

// `count` positions across `span_mm` centered at `center_mm`, patient right to left (x ascending).
std::vector<double> plane_positions(double center_mm, double span_mm, int count);

}  // namespace sagitta::data
