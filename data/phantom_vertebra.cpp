#include "data/phantom_vertebra.h"

#include <array>

namespace sagitta::data {
namespace {

// Facet joints are tilted so that the upper facet faces up and back; this is their unit normal.
constexpr float kFacetY = 0.6f, kFacetZ = 0.8f;

float segment_2d(float u, float v, float u0, float v0, float u1, float v1) {
  const float du = u1 - u0, dv = v1 - v0;
  const float t = std::clamp(((u - u0) * du + (v - v0) * dv) / (du * du + dv * dv), 0.0f, 1.0f);
  return length_2d(u - u0 - t * du, v - v0 - t * dv);
}

// A body with a rounded front, a flat back, a waist, hollow endplates, uncinate processes and an overhanging
// front lip.
float body_distance(const VertebraShape& s, Point p, float lip) {
  const float a = s.half_width, b = s.half_depth, h = s.half_height;
  const float height = std::clamp(p.z / h, -1.0f, 1.0f);
  const float waist = 1 - 0.1f * (1 - height * height);
  const float u = p.x / (a * waist), v = (p.y - 0.25f * b) / (1.25f * b * waist);
  const float radius = std::sqrt(u * u + v * v);
  const float side = (radius - 1) * std::min(a, 1.25f * b);
  const float lateral = smoothstep(0.6f * a, 0.95f * a, p.x);
  const float hollow = 0.9f * std::max(0.0f, 1 - radius * radius);
  const float front = std::max(0.0f, -p.y / b);
  const float top = h - hollow + s.uncus * lateral;
  const float bottom = h - hollow + lip * front * front - 0.6f * s.uncus * lateral;
  return smooth_max(smooth_max(side, std::max(p.z - top, -p.z - bottom), 1.8f), p.y - b * waist, 1.8f);
}

// The plate from the articular pillar to the midline; its upper edge lies further forward, like a roof tile.
float lamina_distance(Point p, float x0, float y0, float y1, float thickness, float z_center,
                      float half_height) {
  const float plate = segment_2d(p.x, p.y + 0.35f * (p.z - z_center), x0, y0, 1.0f, y1) - thickness;
  return smooth_max(plate, std::abs(p.z - z_center) - half_height, 2);
}

struct Spinous {
  float y, z, length, drop, thickness, height_base, height_tip;
  bool bifid;
};

float spinous_distance(Point p, const Spinous& s) {
  const float along = std::clamp((p.y - s.y) / s.length, 0.0f, 1.0f);
  const float height = mix(s.height_base, s.height_tip, along);
  const float profile = segment_2d(p.y, p.z, s.y, s.z, s.y + s.length, s.z - s.drop) - height;
  const float d = smooth_max(profile, p.x - s.thickness * mix(1, 1.25f, along), 1.5f);
  const float tip_x = s.bifid ? 3.4f : 0.0f;
  const float tip =
      norm(p - Point{tip_x, s.y + s.length, s.z - s.drop - 1}) - (s.bifid ? 2.4f : s.height_tip * 0.9f);
  return smooth_min(d, tip, 2);
}

float subaxial_distance(const VertebraShape& s, Point p) {
  const float a = s.half_width, b = s.half_depth, h = s.half_height;
  float d = body_distance(s, p, 1.4f);
  if (s.osteophyte > 0) {
    const Point spur{p.x, p.y, std::abs(p.z)};
    d = smooth_min(d, ellipsoid(spur, {0, -b + 0.8f, h - 0.6f}, {0.7f * a, 0.6f + s.osteophyte, 1.9f}), 2);
  }
  // Pedicles are about 1.3 times as high as wide.
  d = smooth_min(
      d, capsule({p.x, p.y, p.z * 0.75f}, {0.62f * a, b - 1.5f, 1}, {s.pillar_x - 2, b + 4.5f, 0.4f}, 2.6f),
      2);
  const Point q = p - Point{s.pillar_x, b + 5.5f, 0};
  const float facets = std::abs(kFacetY * q.y + kFacetZ * q.z) - s.pillar_half;
  const float pillar = smooth_max(smooth_max(std::abs(q.x) - 5.4f, std::abs(q.y) - 5.6f, 2), facets, 1.5f);
  d = smooth_min(d, pillar, 1.5f);
  d = smooth_min(d, lamina_distance(p, s.pillar_x - 2, b + 9, b + 17.5f, 1.7f, -1.5f, 5.6f), 1.5f);
  d = smooth_min(d,
                 spinous_distance(p, {.y = b + 17.5f,
                                      .z = -2.5f,
                                      .length = s.spinous_length,
                                      .drop = s.spinous_drop,
                                      .thickness = 1.7f,
                                      .height_base = 4.4f,
                                      .height_tip = 2.9f,
                                      .bifid = s.level < 7}),
                 1.5f);
  if (s.level <= 6) {
    // Anterior and posterior bars around the vertebral artery.
    d = smooth_min(d, capsule(p, {0.8f * a, -0.5f, -1}, {a + 9, 0.5f, -2}, 2), 1.5f);
    d = smooth_min(d, capsule(p, {a + 9, 0.5f, -2}, {s.pillar_x + 2, b + 2, -0.5f}, 1.9f), 1.5f);
  } else {
    d = smooth_min(d, capsule(p, {s.pillar_x, b + 3, 1}, {s.transverse_x, b + 7, 1}, 3.4f), 2);
  }
  return d;
}

float axis_distance(const VertebraShape& s, Point p) {
  const float b = s.half_depth;
  float d = body_distance(s, p, 2.6f);
  const float dens_radius = 4.9f - 0.5f * (1 - smoothstep(9, 15, p.z));
  d = smooth_min(d, capsule(p, {0, -0.7f, 4}, {0, 0, 21.5f}, dens_radius), 2);
  const Point facet{p.x, p.y, p.z + 0.5f * (p.x - 14.5f)};
  d = smooth_min(d, ellipsoid(facet, {14.5f, 0, 6.5f}, {7.5f, 8, 5}), 2);
  d = smooth_min(d, capsule(p, {14, 4, 4}, {s.pillar_x - 1, 11, -4}, 3.8f), 2);
  const float facet_plane = -(kFacetY * (p.y - 13) + kFacetZ * p.z) - 7.5f;
  d = smooth_min(d, smooth_max(ellipsoid(p, {s.pillar_x, 12.5f, -7}, {5.6f, 6.2f, 7}), facet_plane, 1.5f), 2);
  d = smooth_min(d, lamina_distance(p, s.pillar_x - 2, b + 8.5f, b + 17.5f, 2.3f, -3, 6.5f), 1.5f);
  d = smooth_min(d,
                 spinous_distance(p, {.y = b + 17.5f,
                                      .z = -3,
                                      .length = s.spinous_length,
                                      .drop = s.spinous_drop,
                                      .thickness = 2.6f,
                                      .height_base = 5.6f,
                                      .height_tip = 4.6f,
                                      .bifid = true}),
                 2);
  return smooth_min(d, capsule(p, {s.pillar_x - 1, 4, 1}, {s.transverse_x, 7, -1}, 2.4f), 2);
}

float atlas_distance(const VertebraShape& s, Point p) {
  const Point low{p.x, p.y, p.z * 0.5f};  // the arch is about twice as high as thick
  float d = capsule(low, {0, -9.9f, 0}, {10, -9.2f, 0}, 2.7f);
  d = smooth_min(d, capsule(low, {10, -9.2f, 0}, {17, -4, 0}, 2.7f), 1.5f);
  d = smooth_min(d, ellipsoid(p, {0, -11, 0}, {4, 3.2f, 5}), 1.5f);
  float mass = rounded_box(p, {18.7f, 1, 0}, {7.6f, 8.2f, 10}, 3);
  mass = smooth_max(mass, p.z - (4.8f + 0.35f * (p.x - 18)), 2);
  mass = smooth_max(mass, -p.z - (3 + 0.5f * (p.x - 14)), 2);
  d = smooth_min(d, mass, 2);
  const float ring = (length_2d(p.x / 20.5f, (p.y - 8) / 23.5f) - 1) * 21;
  const float arch = smooth_max(length_2d(ring, p.z * 0.65f) - 2.6f, 5 - p.y, 2);
  d = smooth_min(d, arch, 2);
  d = smooth_min(d, norm(p - Point{0, 32.5f, 0}) - 3.2f, 2);
  const float transverse = capsule(p, {24, 2, 0}, {s.transverse_x, 5, -1}, 3.6f);
  return smooth_min(d, smooth_max(transverse, 2.8f - length_2d(p.x - 29.5f, p.y - 3), 1), 1.5f);
}

}  // namespace

VertebraShape average_vertebra(int level) {
  static constexpr std::array<VertebraShape, 10> kShapes = {{
      {.level = 1, .half_width = 0, .half_depth = 5, .half_height = 5, .transverse_x = 36},
      {.level = 2,
       .half_width = 9.5,
       .half_depth = 7.5,
       .half_height = 8.5,
       .uncus = 0,
       .pillar_x = 20,
       .spinous_length = 18,
       .spinous_drop = 4,
       .transverse_x = 26},
      {.level = 3,
       .half_width = 10.5,
       .half_depth = 7.6,
       .half_height = 6.8,
       .uncus = 3.6,
       .pillar_x = 19.5,
       .spinous_length = 13,
       .spinous_drop = 3},
      {.level = 4,
       .half_width = 11,
       .half_depth = 7.8,
       .half_height = 6.6,
       .uncus = 3.6,
       .pillar_x = 20,
       .spinous_length = 13,
       .spinous_drop = 4},
      {.level = 5,
       .half_width = 11.6,
       .half_depth = 7.9,
       .half_height = 6.4,
       .uncus = 3.6,
       .pillar_x = 20.5,
       .spinous_length = 15,
       .spinous_drop = 5},
      {.level = 6,
       .half_width = 12.6,
       .half_depth = 8.1,
       .half_height = 6.5,
       .uncus = 3.3,
       .pillar_x = 21,
       .spinous_length = 22,
       .spinous_drop = 6},
      {.level = 7,
       .half_width = 13.5,
       .half_depth = 8.3,
       .half_height = 7.0,
       .uncus = 2.2,
       .pillar_x = 21,
       .spinous_length = 31,
       .spinous_drop = 9,
       .transverse_x = 33},
      {.level = 8,
       .half_width = 14,
       .half_depth = 8.4,
       .half_height = 7.8,
       .uncus = 0.6,
       .pillar_x = 19,
       .spinous_length = 31,
       .spinous_drop = 13,
       .transverse_x = 36},
      {.level = 9,
       .half_width = 13.5,
       .half_depth = 8.8,
       .half_height = 8.3,
       .uncus = 0,
       .pillar_x = 17,
       .spinous_length = 30,
       .spinous_drop = 17,
       .transverse_x = 34},
      {.level = 10,
       .half_width = 13,
       .half_depth = 9.2,
       .half_height = 8.6,
       .uncus = 0,
       .pillar_x = 16,
       .spinous_length = 29,
       .spinous_drop = 20,
       .transverse_x = 32},
  }};
  return kShapes.at(static_cast<std::size_t>(level - 1));
}

float vertebra_distance(const VertebraShape& shape, Point p) {
  p.x = std::abs(p.x);
  if (shape.level == 1) return atlas_distance(shape, p);
  if (shape.level == 2) return axis_distance(shape, p);
  return subaxial_distance(shape, p);
}

Bounds vertebra_bounds(const VertebraShape& s) {
  if (s.level == 1) return {{-45, -20, -17}, {45, 41, 17}};
  const float x = std::max(s.transverse_x, s.pillar_x + 6) + 9;
  const float back = s.half_depth + 17.5f + s.spinous_length + 9;
  if (s.level == 2) return {{-x, -16, -21}, {x, back, 32}};
  return {{-x, -s.half_depth - s.osteophyte - 6, -std::max(15.0f, s.spinous_drop + 11)}, {x, back, 15}};
}

Point canal_center(const VertebraShape& shape) {
  return {0, shape.level == 1 ? 17.0f : shape.half_depth + 7.5f, 0};
}

}  // namespace sagitta::data
