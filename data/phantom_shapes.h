// Signed distances from which the phantom's anatomy is carved: negative inside, millimetres, smooth enough
// that the distance also serves for partial volume and for the depth of the cortical shell. Formulas after
// Quilez, "Distance functions" (iquilezles.org), and the polynomial smooth minimum.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "data/counter_random.h"

namespace sagitta::data {

// A point or vector in single precision: x to the left, y to the back, z to the head, in mm.
struct Point {
  float x = 0, y = 0, z = 0;
};

inline Point operator+(Point a, Point b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
inline Point operator-(Point a, Point b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
inline Point operator*(Point a, float s) { return {a.x * s, a.y * s, a.z * s}; }
inline float dot(Point a, Point b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
inline float norm(Point a) { return std::sqrt(dot(a, a)); }
// Without hypot's care for overflow, which costs more than everything else here.
inline float length_2d(float x, float y) { return std::sqrt(x * x + y * y); }
inline float mix(float a, float b, float t) { return a + (b - a) * t; }
inline Point mix(Point a, Point b, float t) { return a + (b - a) * t; }

// 0 below `from`, 1 above `to` (or the reverse where from > to), smooth between.
inline float smoothstep(float from, float to, float value) {
  const float t = std::clamp((value - from) / (to - from), 0.0f, 1.0f);
  return t * t * (3 - 2 * t);
}

// Union and intersection whose edge is rounded over about k mm.
inline float smooth_min(float a, float b, float k) {
  const float h = std::max(k - std::abs(a - b), 0.0f) / k;
  return std::min(a, b) - h * h * k * 0.25f;
}
inline float smooth_max(float a, float b, float k) { return -smooth_min(-a, -b, k); }

inline float capsule(Point p, Point a, Point b, float radius) {
  const Point pa = p - a, ba = b - a;
  const float t = std::clamp(dot(pa, ba) / dot(ba, ba), 0.0f, 1.0f);
  return norm(pa - ba * t) - radius;
}

// Exact on the surface and to first order near it.
inline float ellipsoid(Point p, Point center, Point radii) {
  const Point q = p - center;
  const Point u{q.x / radii.x, q.y / radii.y, q.z / radii.z};
  const Point v{u.x / radii.x, u.y / radii.y, u.z / radii.z};
  const float length = norm(u), slope = norm(v);
  return slope > 1e-6f ? length * (length - 1) / slope : -std::min({radii.x, radii.y, radii.z});
}

inline float rounded_box(Point p, Point center, Point half, float radius) {
  const Point q{std::abs(p.x - center.x) - half.x + radius, std::abs(p.y - center.y) - half.y + radius,
                std::abs(p.z - center.z) - half.z + radius};
  const Point outside{std::max(q.x, 0.0f), std::max(q.y, 0.0f), std::max(q.z, 0.0f)};
  return norm(outside) + std::min(std::max({q.x, q.y, q.z}), 0.0f) - radius;
}

// Smooth noise in [-1, 1] whose grains are about 1 in size: trilinear between hashed lattice values.
inline float value_noise(Point p, std::uint32_t seed) {
  const float fx = std::floor(p.x), fy = std::floor(p.y), fz = std::floor(p.z);
  const float tx = p.x - fx, ty = p.y - fy, tz = p.z - fz;
  const auto ix = static_cast<std::int32_t>(fx), iy = static_cast<std::int32_t>(fy),
             iz = static_cast<std::int32_t>(fz);
  const auto corner = [&](std::int32_t dx, std::int32_t dy, std::int32_t dz) {
    std::uint32_t h = seed + static_cast<std::uint32_t>(ix + dx) * 0x8DA6B343u +
                      static_cast<std::uint32_t>(iy + dy) * 0xD8163841u +
                      static_cast<std::uint32_t>(iz + dz) * 0xCB1AB31Fu;
    h = (h ^ (h >> 15)) * 0x2C1B3C6Du;
    h = (h ^ (h >> 13)) * 0x297A2D39u;
    return static_cast<float>(h >> 8) * 0x1p-23f - 1.0f;
  };
  const auto edge = [&](std::int32_t dy, std::int32_t dz) {
    return mix(corner(0, dy, dz), corner(1, dy, dz), tx);
  };
  return mix(mix(edge(0, 0), edge(1, 0), ty), mix(edge(0, 1), edge(1, 1), ty), tz);
}

// An axis-aligned box.
struct Bounds {
  Point low, high;
};

// A rigid frame with one scale: local millimetres are those of an average adult.
struct Frame {
  Point origin{};
  Point ex{1, 0, 0}, ey{0, 1, 0}, ez{0, 0, 1};
  float scale = 1;

  Point to_local(Point world) const {
    const Point p = (world - origin) * (1 / scale);
    return {dot(p, ex), dot(p, ey), dot(p, ez)};
  }
  Point to_world(Point local) const { return origin + (ex * local.x + ey * local.y + ez * local.z) * scale; }
  Point direction(Point local) const { return ex * local.x + ey * local.y + ez * local.z; }
  // The smallest axis-aligned box around a local one.
  Bounds enclose(const Bounds& local) const;
};

inline Bounds Frame::enclose(const Bounds& local) const {
  Bounds world{to_world(local.low), to_world(local.low)};
  for (int corner = 1; corner < 8; ++corner) {
    const Point p =
        to_world(Point{corner & 1 ? local.high.x : local.low.x, corner & 2 ? local.high.y : local.low.y,
                       corner & 4 ? local.high.z : local.low.z});
    world.low = {std::min(world.low.x, p.x), std::min(world.low.y, p.y), std::min(world.low.z, p.z)};
    world.high = {std::max(world.high.x, p.x), std::max(world.high.y, p.y), std::max(world.high.z, p.z)};
  }
  return world;
}

}  // namespace sagitta::data
