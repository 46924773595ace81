// Volumes and sagittal planes: every pixel must show the place in the patient that it claims to show.
// The main tool is a field that is linear in x, y and z: trilinear interpolation reproduces it exactly, so
// any error of direction, offset, spacing or shear shows as a wrong value.
#include <cmath>
#include <functional>

#include "data/sagittal.h"
#include "data/window.h"
#include "tensor/random.h"
#include "tests/ct_fixture.h"

using namespace sagitta;
using namespace sagitta::data;
using namespace sagitta::testing;

namespace {

double linear_field(const Vec3& p) { return 5 * p[0] + 7 * p[1] - 4 * p[2] + 100; }

void fill(Volume& volume, const std::function<double(const Vec3&)>& field) {
  for (int z = 0; z < volume.slices; ++z)
    for (int row = 0; row < volume.rows; ++row)
      for (int column = 0; column < volume.columns; ++column)
        volume.hu[(static_cast<std::size_t>(z) * volume.rows + row) * volume.columns + column] =
            static_cast<std::int16_t>(std::lround(field(volume.to_lps(z, row, column))));
}

Vec3 rotated_about_x(const Vec3& v, double degrees) {
  const double a = degrees * 3.14159265358979 / 180;
  return {v[0], v[1] * std::cos(a) - v[2] * std::sin(a), v[1] * std::sin(a) + v[2] * std::cos(a)};
}

Vec3 rotated_about_y(const Vec3& v, double degrees) {
  const double a = degrees * 3.14159265358979 / 180;
  return {v[0] * std::cos(a) + v[2] * std::sin(a), v[1], -v[0] * std::sin(a) + v[2] * std::cos(a)};
}

float pixel(const SagittalPlane& plane, int row, int column) {
  return plane.hu[static_cast<std::size_t>(row) * plane.grid.width + column];
}

// Checks every pixel whose neighborhood lies inside the volume; returns how many those were.
int check_linear(const Volume& volume, double x_mm, double spacing) {
  const SagittalGrid grid = natural_grid(volume, spacing);
  const SagittalPlane plane = cut_sagittal(volume, grid, x_mm);
  const Vec3 normal = volume.normal();
  int checked = 0, wrong = 0;
  for (int row = 0; row < grid.height; ++row) {
    for (int column = 0; column < grid.width; ++column) {
      const Vec3 p{x_mm, grid.y_first + column * spacing, grid.z_first - row * spacing};
      bool inside = dot(p, normal) > dot(volume.positions.front(), normal) + spacing &&
                    dot(p, normal) < dot(volume.positions.back(), normal) - spacing;
      for (const Vec3& origin : volume.positions) {
        const double c = dot(subtract(p, origin), volume.row_direction) / volume.column_spacing;
        const double r = dot(subtract(p, origin), volume.column_direction) / volume.row_spacing;
        if (std::abs(dot(subtract(p, origin), normal)) < 6)
          inside = inside && c > 1 && c < volume.columns - 2 && r > 1 && r < volume.rows - 2;
      }
      if (!inside) continue;
      ++checked;
      // Stored values are rounded to whole HU.
      if (std::abs(pixel(plane, row, column) - linear_field(p)) > 0.51) ++wrong;
    }
  }
  CHECK(wrong == 0);
  return checked;
}

}  // namespace

TEST_CASE("a plane shows a linear field exactly, whatever the stack") {
  Volume volume = make_volume(40, 48, 40, 1.25, 2.5);
  double spacing = 0.8, x_mm = 3.3;
  SUBCASE("plain axial stack") {}
  SUBCASE("pixels that are not square") {
    volume.row_spacing = 0.75;
    volume.column_spacing = 1.5;
  }
  SUBCASE("slices stored from head to feet") {
    // Direction of the rows reversed: the normal points to the feet.
    volume.row_direction = {-1, 0, 0};
    for (int z = 0; z < volume.slices; ++z)
      volume.positions[static_cast<std::size_t>(z)] = {25, -30, -2.5 * z};
  }
  SUBCASE("prone: columns run to the front, rows to the right") {
    volume.row_direction = {-1, 0, 0};
    volume.column_direction = {0, -1, 0};
    for (Vec3& position : volume.positions) position = {25, 30, position[2]};
  }
  SUBCASE("gantry tilt: slices turned about the left-right axis, table moving along z") {
    volume.column_direction = rotated_about_x({0, 1, 0}, 18);
  }
  SUBCASE("gantry tilt the other way") { volume.column_direction = rotated_about_x({0, 1, 0}, -18); }
  SUBCASE("sheared: upright slices, each pushed to the back") {
    for (int z = 0; z < volume.slices; ++z) volume.positions[static_cast<std::size_t>(z)][1] += 0.4 * z;
  }
  SUBCASE("sheared to the left") {
    for (int z = 0; z < volume.slices; ++z) volume.positions[static_cast<std::size_t>(z)][0] += 0.2 * z;
  }
  SUBCASE("head turned: oblique about two axes") {
    volume.row_direction = rotated_about_y({1, 0, 0}, 8);
    volume.column_direction = rotated_about_x({0, 1, 0}, 0);
    for (int z = 0; z < volume.slices; ++z)
      volume.positions[static_cast<std::size_t>(z)] =
          add({-25, -30, 0}, scale(cross(volume.row_direction, volume.column_direction), 2.5 * z));
  }
  SUBCASE("uneven distances") {
    for (int z = 1; z < volume.slices; ++z)
      volume.positions[static_cast<std::size_t>(z)][2] =
          volume.positions[static_cast<std::size_t>(z) - 1][2] + (z % 3 == 0 ? 3.5 : 1.5);
  }
  SUBCASE("slices that wander sideways") {
    for (int z = 0; z < volume.slices; ++z)
      volume.positions[static_cast<std::size_t>(z)][1] += 2 * std::sin(z * 0.9);
  }
  SUBCASE("reduced, with averaging") { spacing = 3.7; }
  fill(volume, linear_field);
  CHECK(check_linear(volume, x_mm, spacing) > 100);
}

TEST_CASE("cutting along profiles gives bitwise what sampling every point gives") {
  Volume volume = make_volume(23, 30, 26, 0.9, 1.7);
  for (std::size_t i = 0; i < volume.hu.size(); ++i)
    volume.hu[i] = static_cast<std::int16_t>(random::uniform({5, 0, 0}, i) * 4000 - 1024);
  bool drifts = false;
  SUBCASE("upright") {}
  SUBCASE("gantry tilted") { volume.column_direction = rotated_about_x({0, 1, 0}, 11); }
  SUBCASE("drifting slices at uneven distances") { drifts = true; }
  if (drifts)
    for (std::size_t z = 0; z < volume.positions.size(); ++z)
      volume.positions[z] =
          add(volume.positions[z], {0.3 * double(z % 3), 0.2 * double(z % 5), 0.1 * double(z % 4)});
  // A direction that is not exactly x, by less than any coordinate can show, takes the general way.
  Volume general = volume;
  general.row_direction = {1, 1e-300, 0};
  for (const double spacing : {0.4, 1.0, 2.3}) {
    const SagittalGrid grid = natural_grid(volume, spacing);
    for (const double x_mm : {volume.positions[0][0] - 0.44, volume.positions[0][0] + 7.77, 1e4}) {
      const SagittalPlane plane = cut_sagittal(volume, grid, x_mm);
      CHECK(plane.hu == cut_sagittal(general, grid, x_mm).hu);
      CHECK((x_mm > 1e3) == (*std::max_element(plane.hu.begin(), plane.hu.end()) == kAirHu));
    }
  }
}

TEST_CASE("head up, anterior left, right to left") {
  Volume volume = make_volume(20, 30, 10, 1, 2);
  fill(volume, [](const Vec3& p) { return p[2] > 30 ? 1000.0 : p[1] > 10 ? 500.0 : 0.0; });
  const SagittalPlane plane = cut_sagittal(volume, natural_grid(volume, 1), 0);
  CHECK(plane.grid.height == 39);
  CHECK(plane.grid.width == 30);
  CHECK(pixel(plane, 0, 0) == 1000);   // the head is the first row
  CHECK(pixel(plane, 38, 0) == 0);     // the front is the first column
  CHECK(pixel(plane, 38, 29) == 500);  // the back the last
  const std::vector<double> x = plane_positions(5, 40, 5);
  CHECK(x == std::vector<double>{-15, -5, 5, 15, 25});  // LPS: right is negative
  CHECK(plane_positions(5, 40, 1) == std::vector<double>{5});
}

TEST_CASE("outside the volume there is air") {
  Volume volume = make_volume(20, 20, 20, 1, 1);
  fill(volume, [](const Vec3&) { return 300.0; });
  const SagittalPlane beside = cut_sagittal(volume, natural_grid(volume, 1), 50);
  CHECK(*std::max_element(beside.hu.begin(), beside.hu.end()) == kAirHu);
  SagittalGrid large = natural_grid(volume, 1);
  large.z_first += 5;
  const SagittalPlane above = cut_sagittal(volume, large, 0);
  CHECK(pixel(above, 0, 10) == kAirHu);
  CHECK(pixel(above, 10, 10) == 300);
}

TEST_CASE("a square grid keeps the scale equal and the volume centered") {
  Volume volume = make_volume(101, 51, 10, 1, 1);
  fill(volume, [](const Vec3&) { return 300.0; });
  const SagittalGrid grid = square_grid(volume, 64);
  CHECK(grid.width == 64);
  CHECK(grid.height == 64);
  CHECK(grid.spacing_mm == doctest::Approx(100.0 / 63));
  const SagittalPlane plane = cut_sagittal(volume, grid, 0);
  const auto inside = std::count(plane.hu.begin() + 32 * 64, plane.hu.begin() + 33 * 64, 300.f);
  CHECK(inside >= 31);
  CHECK(inside <= 33);
  CHECK(pixel(plane, 32, 0) == kAirHu);
  CHECK(pixel(plane, 32, 63) == kAirHu);
  CHECK(pixel(plane, 32, 32) == 300);
}

TEST_CASE("reducing averages instead of picking") {
  Volume volume = make_volume(64, 64, 8, 0.5, 0.5);
  for (int z = 0; z < 64; ++z)
    for (int row = 0; row < 64; ++row)
      for (int column = 0; column < 8; ++column)
        volume.hu[(static_cast<std::size_t>(z) * 64 + row) * 8 + column] = (z + row) % 2 ? 1000 : 0;
  const SagittalPlane plane = cut_sagittal(volume, natural_grid(volume, 4), 0);
  for (int row = 2; row < plane.grid.height - 2; ++row)
    for (int column = 2; column < plane.grid.width - 2; ++column)
      CHECK(std::abs(pixel(plane, row, column) - 500) < 130);
}

TEST_CASE("the source map names the slices that a row came from") {
  const Volume volume = make_volume(11, 8, 8, 1, 2);
  const std::vector<SourceRange> rows = source_rows(volume, natural_grid(volume, 1), 0);
  REQUIRE(rows.size() == 21);
  CHECK(rows[0].first == 10);  // the top row is the last slice
  CHECK(rows[0].last == 10);
  CHECK(rows[1].first == 9);
  CHECK(rows[1].last == 10);
  CHECK(rows[20].first == 0);

  Volume tilted = make_volume(11, 8, 8, 1, 2);
  tilted.column_direction = rotated_about_x({0, 1, 0}, 20);
  const std::vector<SourceRange> tilted_rows = source_rows(tilted, natural_grid(tilted, 1), 0);
  CHECK(tilted_rows[11].last > tilted_rows[11].first + 1);
}

TEST_CASE("the affine maps indices to the patient") {
  Volume volume = make_volume(5, 4, 4, 0.5, 3);
  volume.column_direction = rotated_about_x({0, 1, 0}, 10);
  const std::array<double, 12> m = volume.affine();
  const Vec3 expected = volume.to_lps(3, 2, 1);
  for (std::size_t axis = 0; axis < 3; ++axis)
    CHECK(m[axis * 4] * 1 + m[axis * 4 + 1] * 2 + m[axis * 4 + 2] * 3 + m[axis * 4 + 3] ==
          doctest::Approx(expected[axis]));
}

TEST_CASE("impossible grids are refused") {
  const Volume volume = make_volume(5, 4, 4, 0.5, 3);
  CHECK_THROWS_AS(natural_grid(volume, 0), Error);
  CHECK_THROWS_AS(natural_grid(volume, 1e-4), Error);
  CHECK_THROWS_AS(square_grid(volume, 1), Error);
  CHECK_THROWS_AS(natural_grid(Volume{}, 1), Error);
}

// A neck with everything that has ever led a midline search astray.
TEST_CASE("the midline is found from the spine, not from table, jaw, shoulders or field of view") {
  constexpr double kSpine = 17;
  Volume volume = make_volume(60, 160, 220, 1.5, 3);
  const auto within = [](const Vec3& p, double x, double y, double rx, double ry) {
    return std::pow((p[0] - x) / rx, 2) + std::pow((p[1] - y) / ry, 2) < 1;
  };
  bool table = false, jaw = false, shoulders = false;
  SUBCASE("alone") {}
  SUBCASE("a table with metal rails") { table = true; }
  SUBCASE("a jaw turned to one side") { jaw = true; }
  SUBCASE("shoulders, one outside the field of view") { shoulders = true; }
  SUBCASE("all of it") { table = jaw = shoulders = true; }
  fill(volume, [&](const Vec3& p) {
    const bool wide = shoulders && p[2] < 110;
    double hu = -1000;
    if (within(p, kSpine + (wide ? 30 : 0), 0, wide ? 200 : 65, 70)) hu = 50;
    if (within(p, kSpine, 15, 16, 14)) hu = 600;                // vertebral body
    if (within(p, kSpine, 42, 24, 6)) hu = 700;                 // arch
    if (wide && within(p, kSpine + 110, 10, 25, 25)) hu = 900;  // one humerus only
    if (jaw && p[2] > 60 && within(p, kSpine - 25, -45, 40, 12)) hu = 1200;
    if (table && p[1] > 85 && p[1] < 92) hu = p[0] > 40 && p[0] < 60 ? 2000 : -200;
    return hu;
  });
  const Midline midline = find_midline(volume);
  CHECK(midline.found);
  CHECK(std::abs(midline.x_mm - kSpine) < 2);
}

TEST_CASE("without bone the middle of the body is the midline, and said to be a guess") {
  Volume volume = make_volume(20, 100, 100, 2, 3);
  fill(volume, [](const Vec3& p) { return std::hypot(p[0] - 12, p[1]) < 60 ? 40.0 : -1000.0; });
  CHECK_FALSE(find_midline(volume).found);
  CHECK(std::abs(find_midline(volume).x_mm - 12) < 2);
  fill(volume, [](const Vec3&) { return -1000.0; });
  CHECK_FALSE(find_midline(volume).found);
}

TEST_CASE("windows follow DICOM PS3.3 C.11.2.1.2") {
  const Window linear{2048,
                      4096};  // the standard's own example: y = 255 (x / 4095), 0 below 0, 255 above 4095
  CHECK(linear.grey(-1) == 0);
  CHECK(linear.grey(0) == 0);
  CHECK(linear.grey(4095) == 255);
  CHECK(linear.grey(2047.5) == 128);
  const Window exact{2048, 4096, WindowFunction::linear_exact};
  CHECK(exact.grey(0) == 0);
  CHECK(exact.grey(2048) == 128);
  CHECK(exact.grey(4096) == 255);
  const Window step{100, 1};
  CHECK(step.grey(99.5) == 0);
  CHECK(step.grey(99.6) == 255);
  CHECK(parse_window("bone").grey(kAirHu) == 0);
  CHECK(parse_window("400/1800").center == 400);
  CHECK(parse_window("-600/1500").width == 1500);
  CHECK(parse_window("exact:40/0.5").function == WindowFunction::linear_exact);
  for (const char* bad :
       {"", "bonee", "400", "400/", "400/0", "400/-5", "nan/100", "400/1800x", "exact:40/0"})
    CHECK_THROWS_AS(parse_window(bad), Error);
}
