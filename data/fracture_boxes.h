// The bounding boxes of fractures, which axial images have, seen in sagittal planes: what a model that looks
// at sagittal slices is held against. Invariant: a pixel of a plane is inside when the voxel nearest to its
// place in the patient is, so a tilted or oblique stack comes out right.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "data/rsna_csv.h"
#include "data/vec3.h"
#include "data/volume.h"

namespace sagitta::data {

// Where the axial images of a study lie: a Volume without its voxels.
struct AxialStack {
  std::vector<int> file_numbers;  // n of "n.dcm"
  std::vector<Vec3> positions;    // of pixel (row 0, column 0), LPS mm; ascending along the normal
  Vec3 row_direction{1, 0, 0}, column_direction{0, 1, 0};
  double row_spacing = 1, column_spacing = 1;  // mm between rows, between columns

  Vec3 normal() const { return cross(row_direction, column_direction); }
};
AxialStack axial_stack(const Volume& volume);

// Boxes by label: 1 to 7 for C1..C7.
using LevelBoxes = std::map<int, std::vector<BoundingBox>>;

// Tells which vertebra each box of a study belongs to, which the table does not say. With one fractured
// vertebra all boxes are its; with several, boxes of neighboring slices belong together, and where there are
// as many such groups as fractured vertebrae, they follow each other from head to feet. Otherwise (boxes of
// two vertebrae touch, or a vertebra has two groups) nobody can tell, and nothing is returned. Boxes of
// slices that the stack lacks are left out.
std::optional<LevelBoxes> boxes_of_levels(const AxialStack& stack, const std::vector<BoundingBox>& boxes,
                                          const std::array<int, 7>& fractured);

// The points (x_mm, y, z) of a sagittal plane that lie in a box: [zs, ys], 1 inside. A box reaches halfway to
// the neighboring slices, and from the center of its first pixel to that of its last.
std::vector<std::uint8_t> boxes_in_plane(const AxialStack& stack, const std::vector<BoundingBox>& boxes,
                                         double x_mm, const std::vector<double>& ys,
                                         const std::vector<double>& zs);

}  // namespace sagitta::data
