#include "data/phantom_fracture.h"

#include <array>
#include <numbers>

#include "tensor/error.h"

namespace sagitta::data {
namespace {

// 1 well inside the region, 0 at its border and beyond.
float influence(const Fracture& f, Point p) {
  const auto axis = [](float q, float half) { return 1 - smoothstep(0.72f, 0.99f, std::abs(q) / half); };
  const Point q = p - f.center;
  return axis(q.x, f.half.x) * axis(q.y, f.half.y) * axis(q.z, f.half.z);
}

// A real break is ragged.
float plane_distance(const Fracture& f, Point p) {
  return dot(p - f.anchor, f.normal) +
         0.9f * value_noise(p * 0.3f, 77u + static_cast<std::uint32_t>(f.level));
}

Point unit(Point p) { return p * (1 / norm(p)); }

FractureKind sample_kind(int level, CounterRandom& random) {
  using enum FractureKind;
  if (level == 1) return ring;
  const double u = random.uniform();
  if (level == 2) return u < 0.55 ? dens : u < 0.85 ? hangman : teardrop;
  if (level >= 6 && u < 0.18) return spinous;
  return u < 0.5 ? wedge : u < 0.75 ? burst : u < 0.88 ? teardrop : u < 0.95 ? pillar : lamina;
}

float between(CounterRandom& random, double low, double high) {
  return static_cast<float>(random.uniform(low, high));
}

}  // namespace

std::string_view fracture_name(FractureKind kind) {
  static constexpr std::array<std::string_view, 9> kNames = {
      "wedge compression", "burst",  "teardrop", "dens type II",    "hangman",
      "atlas ring",        "lamina", "spinous",  "articular pillar"};
  return kNames.at(static_cast<std::size_t>(kind));
}

std::vector<Fracture> sample_fracture(const VertebraShape& s, float severity, CounterRandom& random) {
  const float a = s.half_width, b = s.half_depth, h = s.half_height;
  const float side = random.chance(0.5) ? 1.0f : -1.0f;
  Fracture f{.level = s.level, .kind = sample_kind(s.level, random)};
  f.gap = severity * between(random, 1.1, 1.9);
  f.swelling = severity * between(random, 2, 4.5);
  const float move = std::min(severity * between(random, 1.0, 2.2), 3.6f);
  switch (f.kind) {
    case FractureKind::wedge:
    case FractureKind::burst: {
      const bool burst = f.kind == FractureKind::burst;
      f.center = {0, 0, 1};
      f.half = {1.45f * a, 2 * b, h + 7.5f};
      f.height_loss = std::min(severity * h * between(random, 0.45, 0.7), 1.15f * h);
      // A burst also splits the body front to back.
      f.anchor = {side * between(random, 0.5, 4), 0, 0};
      f.normal = unit({1, 0.25f, 0.1f});
      f.gap = burst ? f.gap : 0;
      f.shift = burst ? Point{0, severity * between(random, 1.5, 3), 0} : Point{};
      return {f};
    }
    case FractureKind::teardrop:
      // The lower front corner of the body comes off.
      f.center = {0, -b + 2, -h + 1};
      f.half = {1.3f * a, b + 1, h + 5};
      f.anchor = {0, -0.35f * b, -0.5f * h};
      f.normal = unit({0.15f * side, -0.8f, -0.6f});
      f.shift = {0, -0.8f * move, -0.5f * move};
      return {f};
    case FractureKind::dens:
      f.center = {0, 0, 16.5f};
      f.half = {11, 13, 16};
      f.anchor = {0, -0.7f, between(random, 8, 10.5)};
      f.normal = unit({0.1f * side, between(random, -0.3, 0.3), 1});
      f.shift = {0.3f * side * move, (random.chance(0.6) ? 1.4f : -1.0f) * move, 0.3f * move};
      return {f};
    case FractureKind::hangman: {
      // Both partes interarticulares break; the arch stays behind while the body slips forward.
      f.center = {0, 17, -2};
      f.half = {28, 17, 17};
      f.anchor = {0, between(random, 6.5, 8.5), 0};
      f.normal = unit({0.1f * side, 1, 0.35f});
      f.gap *= 1.3f;
      f.shift = {0, 1.1f * move, -0.5f * move};
      return {f};
    }
    case FractureKind::ring: {
      // Jefferson: one break in front, one or two behind; the pieces move outward.
      f.center = {side * 8, -9, 0};
      f.half = {11, 9, 11};
      f.anchor = {side * between(random, 1.5, 6), -10, 0};
      f.normal = unit({side, 0.3f, 0.2f});
      f.gap *= 1.4f;
      f.shift = {side * 0.8f * move, 0, 0.8f * move};
      Fracture rear = f;
      rear.center = {0, 26, 0};
      rear.half = {18, 13, 11};
      rear.anchor = {-side * between(random, 2, 9), 29, 0};
      rear.normal = unit({-side, 0.4f, 0.1f});
      rear.shift = {-side * 0.8f * move, 0, -0.9f * move};
      return {f, rear};
    }
    case FractureKind::spinous:
      // Clay-shoveler's: the tip is pulled down.
      f.center = {0, b + 17.5f + 0.65f * s.spinous_length, -2 - 0.65f * s.spinous_drop};
      f.half = {9, 0.75f * s.spinous_length + 2, 15};
      f.anchor = {0, b + 17.5f + 0.4f * s.spinous_length, -3};
      f.normal = unit({0.3f * side, 1, -0.25f});
      f.gap *= 1.3f;
      f.shift = {0, 0.8f * move, -1.3f * move};
      f.swelling = 0;
      return {f};
    case FractureKind::lamina:
      f.center = {side * 9, b + 15, -2};
      f.half = {14, 13, 13};
      f.anchor = {side * between(random, 3, 9), b + 15, 0};
      f.normal = unit({side, 0.5f, 0.1f});
      f.shift = {0, 1.2f * move, 0};
      f.swelling *= 0.4f;
      return {f};
    case FractureKind::pillar:
      f.center = {side * (s.pillar_x - 2), b + 5, 0};
      f.half = {12, 12, 13};
      f.anchor = {side * s.pillar_x, b + 5.5f, between(random, -1.5, 1.5)};
      f.normal = unit({0.25f * side, -0.2f, 1});
      f.shift = {0.3f * side * move, -move, 0.4f * move};
      f.swelling *= 0.6f;
      return {f};
  }
  fail("phantom: fracture kind {} is unknown", static_cast<int>(f.kind));
}

Point undo_displacement(const Fracture& f, const VertebraShape& s, Point p) {
  const float w = influence(f, p);
  if (w <= 0) return p;
  if (f.height_loss > 0) {
    const float h = s.half_height, back = std::clamp((p.y + s.half_depth) / (2 * s.half_depth), 0.0f, 1.0f);
    const bool burst = f.kind == FractureKind::burst;
    const float loss = f.height_loss * w * mix(1, burst ? 0.75f : 0.2f, back);
    // The lower half stands still; only the body is crushed, not the arch behind it.
    p.z += loss * smoothstep(-0.6f * h, 0.4f * h, p.z);
    const float bulge = w * std::exp(-p.z * p.z / (0.35f * h * h));
    p.y += p.y < 0 ? 0.25f * f.height_loss * bulge : -f.shift.y * bulge;
    return p;
  }
  return plane_distance(f, p) > 0 ? p - f.shift * w : p;
}

float open_gap(const Fracture& f, Point p, float distance) {
  if (f.gap <= 0) return distance;
  const float w = influence(f, p);
  if (w <= 0) return distance;
  return std::max(distance, 0.5f * f.gap * w - std::abs(plane_distance(f, p)));
}

float impaction_hu(const Fracture& f, const VertebraShape& s, Point p) {
  if (f.height_loss <= 0) return 0;
  const float w = influence(f, p);
  const float band = 1 - smoothstep(1.0f, 3.5f, std::abs(p.z - 0.45f * s.half_height));
  return 75 * f.height_loss * w * band;
}

}  // namespace sagitta::data
