// Bounding boxes of axial images on sagittal planes, against voxels painted where the boxes are.
#include <doctest/doctest.h>

#include <cmath>

#include "data/augment.h"
#include "data/fracture_boxes.h"
#include "data/sagittal.h"
#include "tests/ct_fixture.h"

using namespace sagitta;
using namespace sagitta::data;

namespace {

// A stack of 24 slices of 30 x 40 pixels with a box in slices 8 to 13 whose voxels, and no others, are
// bright.
struct Painted {
  explicit Painted(const Vec3& row_direction, const Vec3& column_direction, bool uneven = false)
      : volume(testing::make_volume(24, 30, 40, 1.5, 2)) {
    volume.row_direction = row_direction;
    volume.column_direction = column_direction;
    const Vec3 normal = volume.normal();
    for (int z = 0; z < volume.slices; ++z) {
      // A tilted gantry's table still moves along the patient's z: the stack is sheared.
      const double height = 2 * z + (uneven && z % 2 ? 0.6 : 0.0);
      volume.positions[static_cast<std::size_t>(z)] = {-30, -20, -24 + height / normal[2]};
      volume.sources[static_cast<std::size_t>(z)].file_number = 100 - z;
    }
    for (int z = 8; z <= 13; ++z) {
      boxes.push_back({.study = "s", .x = 12, .y = 9, .width = 14, .height = 11, .slice_number = 100 - z});
      for (int row = 9; row <= 20; ++row)
        for (int column = 12; column <= 26; ++column)
          volume.hu[(static_cast<std::size_t>(z) * 30 + static_cast<std::size_t>(row)) * 40 +
                    static_cast<std::size_t>(column)] = 1000;
    }
  }
  Volume volume;
  std::vector<BoundingBox> boxes;
};

std::vector<double> steps(double first, double step, int count) {
  std::vector<double> values;
  for (int i = 0; i < count; ++i) values.push_back(first + i * step);
  return values;
}

// How many pixels of the plane are inside, and how many of all differ from what the painted voxels show.
struct Comparison {
  int inside = 0, different = 0;
};
Comparison compare(const Painted& painted, double x_mm) {
  const SagittalGrid grid = natural_grid(painted.volume, 0.5);
  const SagittalPlane plane = cut_sagittal(painted.volume, grid, x_mm);
  const auto mask = boxes_in_plane(axial_stack(painted.volume), painted.boxes, x_mm,
                                   steps(grid.y_first, grid.spacing_mm, grid.width),
                                   steps(grid.z_first, -grid.spacing_mm, grid.height));
  Comparison result;
  for (std::size_t i = 0; i < mask.size(); ++i) {
    result.inside += mask[i];
    // Away from the edges, where interpolated voxels are neither bright nor dark.
    if (plane.hu[i] > 999 || plane.hu[i] < 1) result.different += (plane.hu[i] > 999) != (mask[i] != 0);
  }
  return result;
}

BoundingBox box_in(int slice_number, double x = 10) {
  return {.study = "s", .x = x, .y = 10, .width = 5, .height = 5, .slice_number = slice_number};
}

// Slices 1 (top) to 20, as most studies are numbered.
AxialStack numbered_stack() {
  AxialStack stack;
  for (int i = 0; i < 20; ++i) {
    stack.file_numbers.push_back(20 - i);
    stack.positions.push_back({0, 0, 2.0 * i});
  }
  return stack;
}

}  // namespace

TEST_CASE("boxes lie where their voxels are: upright, tilted, oblique and uneven stacks") {
  const double tilt = 0.25, turn = 0.15;
  const Vec3 oblique_row{std::cos(turn), std::sin(turn), 0},
      oblique_column{-std::sin(turn), std::cos(turn), 0};
  const Painted stacks[] = {Painted({1, 0, 0}, {0, 1, 0}),
                            Painted({1, 0, 0}, {0, std::cos(tilt), std::sin(tilt)}),
                            Painted({1, 0, 0}, {0, std::cos(tilt), -std::sin(tilt)}),
                            Painted(oblique_row, oblique_column), Painted({1, 0, 0}, {0, 1, 0}, true)};
  for (const Painted& painted : stacks) {
    CAPTURE(painted.volume.column_direction[2]);
    CAPTURE(painted.volume.row_direction[1]);
    const Comparison crossing = compare(painted, -0.7);
    CHECK(crossing.inside > 500);  // 16.5 x 12 mm in pixels of 0.5 mm are 792
    CHECK(crossing.inside < 1000);
    CHECK(crossing.different == 0);
    CHECK(compare(painted, 26).inside == 0);  // beside the box
  }
}

TEST_CASE("a plane beside the boxes, and slices that the stack lacks, give nothing") {
  const AxialStack stack = numbered_stack();
  const std::vector<double> ys = steps(0, 1, 30), zs = steps(40, -1, 45);
  const auto count = [&](const std::vector<BoundingBox>& boxes, double x_mm) {
    const auto mask = boxes_in_plane(stack, boxes, x_mm, ys, zs);
    return std::count(mask.begin(), mask.end(), 1);
  };
  CHECK(count({box_in(10)}, 12) == 6 * 2);  // rows 10 to 15, half a gap up and down
  CHECK(count({box_in(10)}, 9.9) == 0);
  CHECK(count({box_in(10)}, 15.1) == 0);
  CHECK(count({box_in(21)}, 12) == 0);
  CHECK(count({}, 12) == 0);
  // The top slice reaches half a gap above the stack (38 mm) and no further.
  const auto top = boxes_in_plane(stack, {box_in(1)}, 12, {12}, {40, 39.1, 38.9, 37.1, 36.9});
  CHECK(top == std::vector<std::uint8_t>{0, 0, 1, 1, 0});
}

TEST_CASE("boxes are dealt to vertebrae from head to feet, where that can be told") {
  const AxialStack stack = numbered_stack();
  const auto levels = [&](const std::vector<BoundingBox>& boxes, std::array<int, 7> fractured) {
    return boxes_of_levels(stack, boxes, fractured);
  };
  const std::vector<BoundingBox> two{box_in(12), box_in(3), box_in(4), box_in(13)};
  const auto told = levels(two, {0, 1, 0, 0, 1, 0, 0});
  REQUIRE(told);
  REQUIRE(told->size() == 2);
  CHECK(told->at(2).size() == 2);
  CHECK(told->at(2).front().slice_number <= 4);  // the smaller number is nearer to the head here
  CHECK(told->at(5).front().slice_number >= 12);
  // One fractured vertebra has all of them.
  const auto one = levels(two, {0, 0, 1, 0, 0, 0, 0});
  REQUIRE(one);
  CHECK(one->at(3).size() == 4);
  // Three vertebrae with two groups, two with boxes that touch: nobody can tell.
  CHECK_FALSE(levels(two, {1, 1, 1, 0, 0, 0, 0}));
  CHECK_FALSE(levels({box_in(3), box_in(4, 40)}, {0, 1, 1, 0, 0, 0, 0}));
  CHECK_FALSE(levels({}, {1, 0, 0, 0, 0, 0, 0}));
  CHECK_FALSE(levels({box_in(99)}, {1, 0, 0, 0, 0, 0, 0}));
  // A stack numbered from the feet up is dealt from its head as well.
  AxialStack ascending = stack;
  std::reverse(ascending.file_numbers.begin(), ascending.file_numbers.end());
  const auto turned = boxes_of_levels(ascending, two, {0, 1, 0, 0, 1, 0, 0});
  REQUIRE(turned);
  CHECK(turned->at(2).front().slice_number >= 12);
}

TEST_CASE("a letterboxed picture lies where letterbox_place says") {
  Image image{.width = 30, .height = 60, .channels = 1, .pixels = std::vector<std::uint8_t>(1800, 200)};
  const Image square = letterbox(image, 40);
  const LetterboxPlace place = letterbox_place(30, 60, 40);
  CHECK(place.height == 40);
  CHECK(place.width == 20);
  for (int y = 0; y < 40; ++y)
    for (int x = 0; x < 40; ++x) {
      const bool inside = x >= place.left && x < place.left + place.width;
      REQUIRE(square.pixels[static_cast<std::size_t>(y * 40 + x)] == (inside ? 200 : 0));
    }
}
