// Where the pixels of a shown plane lie in the patient: the axes of a study's picture, in LPS millimeters.
#pragma once
#include <vector>

#include "data/sagittal.h"

namespace sagitta::apps {

// One axis: the place of each pixel's center.
struct MmScale {
  double first_mm = 0, mm_per_pixel = 1;  // negative where millimeters fall

  double mm_at(double pixel) const { return first_mm + pixel * mm_per_pixel; }
  double pixel_at(double mm) const { return (mm - first_mm) / mm_per_pixel; }
  // The multiples of 20, 50 or 100 mm, ascending, that lie within the first `pixels`.
  std::vector<int> ticks(int pixels) const;
};

struct PlaneAxes {
  MmScale y, z;  // across, to the back; down, to the feet (z falls)
};

// Of a plane on this grid, letterboxed to side x side pixels.
PlaneAxes plane_axes(const data::SagittalGrid& grid, int side);

}  // namespace sagitta::apps
