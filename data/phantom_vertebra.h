// The shapes of the vertebrae C1..C7 and T1..T3 as signed distances in their own frames.
// The frame's origin is the center of the vertebral body, for C1 the center of the dens; x left, y back, z
// up.
#pragma once
#include "data/phantom_shapes.h"

namespace sagitta::data {

// Dimensions in mm of an average adult; sampling varies them per patient. After Panjabi et al., "Cervical
// human vertebrae: quantitative three-dimensional anatomy of the middle and lower regions" (Spine 1991).
struct VertebraShape {
  int level = 3;                                             // 1..7 for C1..C7, 8..10 for T1..T3
  float half_width = 12, half_depth = 8, half_height = 6.5;  // of the body
  float uncus = 3.5;                                         // height of the uncinate processes
  float pillar_x = 20,
        pillar_half = 6.2;  // articular pillar: distance from the midline, half height along the facet normal
  float spinous_length = 16, spinous_drop = 5;
  float transverse_x = 24;
  float osteophyte = 0;  // anterior spurs of a worn disc
};

// The average vertebra of a level.
VertebraShape average_vertebra(int level);

// Signed distance to the bone surface.
float vertebra_distance(const VertebraShape& shape, Point p);

// Contains the vertebra with 5 mm to spare on every side, for displaced fragments.
Bounds vertebra_bounds(const VertebraShape& shape);

// Center of the spinal canal.
Point canal_center(const VertebraShape& shape);

}  // namespace sagitta::data
