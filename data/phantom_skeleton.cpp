// The bones around the neck: Tissue's part about skull base, jaw, larynx and thorax.
#include <array>

#include "data/phantom_tissue.h"

namespace sagitta::data {
namespace {

constexpr Bounds kSkull{{-76, -64, 2}, {76, 104, 95}};
constexpr Bounds kJaw{{-58, -108, -62}, {58, -4, 34}};

// Distance in the axial plane to a polyline given for x >= 0.
template <std::size_t N>
float polyline(float x, float y, const std::array<std::array<float, 2>, N>& line) {
  float best = 1e9f;
  for (std::size_t i = 0; i + 1 < N; ++i) {
    best = std::min(best,
                    capsule({x, y, 0}, {line[i][0], line[i][1], 0}, {line[i + 1][0], line[i + 1][1], 0}, 0));
  }
  return best;
}

}  // namespace

Bounds Tissue::bone_bounds(Bone bone) const {
  const auto around = [&](float level_high, float level_low, float half_x, float front, float back) {
    const float y = section(z_of_level(0.5f * (level_low + level_high))).body.y, s = patient_.size;
    return Bounds{{-half_x * s, y + front * s, z_of_level(level_low)},
                  {half_x * s, y + back * s, z_of_level(level_high)}};
  };
  switch (bone) {
    case Bone::skull: return head_.enclose(kSkull);
    case Bone::jaw: return head_.enclose(kJaw);
    case Bone::larynx: return around(3.1f, 6.4f, 28, -75, 0);
    case Bone::thorax: return around(6.6f, 14, 130, -95, 60);
  }
  return {};
}

BoneSample Tissue::bone(Bone bone, const Section& at, Point p) const {
  switch (bone) {
    case Bone::skull: return skull(head_.to_local(p));
    case Bone::jaw: return jaw(head_.to_local(p));
    case Bone::larynx: return larynx(at, p);
    case Bone::thorax: return thorax(at, p);
  }
  return {};
}

BoneSample Tissue::skull(Point p) const {
  const float texture = value_noise(p * 0.35f, patient_.texture_seed + 5);
  p.x = std::abs(p.x);
  // The floor of the posterior fossa: a shell with the foramen magnum cut out.
  float d = std::abs(ellipsoid(p, {0, 14, 74}, {69, 84, 60}) + 3) - 3;
  const float foramen = (length_2d(p.x / 15, (p.y - 15) / 17.5f) - 1) * 15;
  d = smooth_max(smooth_max(d, -foramen, 3), -2 - p.y, 3);
  const float clivus = capsule({0, p.y, p.z}, {0, -5, 15}, {0, -32, 46}, 4.2f);
  d = smooth_min(d, smooth_max(clivus, p.x - 15, 5), 3);
  d = smooth_min(d, ellipsoid(p, {18, 1, 12.3f}, {6, 10, 5.5f}), 3);
  const float mastoid = ellipsoid(p, {52, 10, 14}, {11, 14, 22});
  d = smooth_min(d, std::min(mastoid, capsule(p, {48, 4, 30}, {17, -12, 38}, 9)), 4);
  BoneSample sample{.distance = d, .shell_hu = 1350, .core_hu = 520, .shell_mm = 1.8f};
  if (mastoid < 0) sample.core_hu = texture > -0.1f ? -650.0f : 500.0f;  // air cells
  return sample;
}

BoneSample Tissue::jaw(Point p) const {
  static constexpr std::array<std::array<float, 2>, 4> kArch = {{{46, -24}, {40, -48}, {24, -77}, {0, -86}}};
  static constexpr std::array<std::array<float, 2>, 4> kTeeth = {{{28, -50}, {24, -64}, {14, -77}, {0, -82}}};
  p.x = std::abs(p.x);
  const float middle = -30 - patient_.jaw_drop_mm;
  float d = smooth_max(polyline(p.x, p.y, kArch) - 5.2f, std::abs(p.z - middle) - 11.5f, 5);
  d = smooth_min(d, rounded_box(p, {47, -23, 0.5f * middle - 2}, {4, 14, 0.5f * (24 - middle)}, 3.5f), 3);
  // Hard palate and upper alveolar arch.
  const float arch = polyline(p.x, p.y, kTeeth);
  d = std::min(d, smooth_max(arch - 5, std::abs(p.z - 3) - 5, 2));
  d = std::min(d, rounded_box(p, {0, -63, 7.2f}, {23, 19, 1.6f}, 1.4f));
  BoneSample sample{.distance = d, .shell_hu = 1450, .core_hu = 420, .shell_mm = 2.2f};
  const float gaps = std::abs(std::sin(13 * std::atan2(p.x, -45 - p.y)));
  const float lower = std::abs(p.z - (middle + 13)) - 6, upper = std::abs(p.z + 6) - 5;
  const float teeth = std::max(arch - 3.2f - 1.2f * gaps, std::min(lower, upper));
  if (teeth < d) sample = {.distance = teeth, .shell_hu = 2300, .core_hu = 1500, .shell_mm = 1.5f};
  return sample;
}

BoneSample Tissue::larynx(const Section& at, Point p) const {
  const float s = patient_.size, x = std::abs(p.x - 0.5f * at.body.x);
  const float front = at.airway_y - at.airway_half_depth;
  const Section& hyoid_at = section(z_of_level(3.55f));
  const float y0 = hyoid_at.airway_y - hyoid_at.airway_half_depth - 9 * s, z0 = z_of_level(3.55f);
  float d = capsule({x, p.y, p.z}, {0, y0, z0}, {13 * s, y0 + 5 * s, z0}, 2.7f * s);
  d = std::min(d,
               capsule({x, p.y, p.z}, {13 * s, y0 + 5 * s, z0}, {20 * s, y0 + 27 * s, z0 + 4 * s}, 2.0f * s));
  BoneSample sample{.distance = d, .shell_hu = 750, .core_hu = 300, .shell_mm = 1};
  const std::array<std::array<float, 2>, 2> plate = {{{0, front - 7 * s}, {17 * s, front + 20 * s}}};
  const float thyroid = std::max(polyline(x, p.y, plate) - 1.5f, std::abs(p.z - z_of_level(4.75f)) - 11 * s);
  const float ring =
      length_2d(x / (at.airway_half_width + 2.5f), (p.y - at.airway_y) / (at.airway_half_depth + 2.5f));
  const float cricoid = std::max(std::abs(ring - 1) * 9 - 1.6f, std::abs(p.z - z_of_level(5.75f)) - 4 * s);
  const float cartilage = std::min(thyroid, cricoid);
  if (cartilage < d) {
    const float calcium = 150 + 160 * value_noise(p * 0.2f, patient_.texture_seed + 9);
    sample = {.distance = cartilage, .shell_hu = calcium, .core_hu = calcium, .shell_mm = 1};
  }
  return sample;
}

BoneSample Tissue::thorax(const Section&, Point p) const {
  const float s = patient_.size;
  float d = 1e9f;
  for (int level = 8; level <= 9; ++level) {
    // The ribs leave T1 and T2 and run forward and down around the lung.
    static constexpr std::array<Point, 5> kRib = {
        {{22, 8, 1}, {42, 15, 0}, {60, -2, -8}, {57, -34, -24}, {26, -58, -38}}};
    const Point origin = patient_.frames[level - 1].origin;
    const Point q{std::abs(p.x - origin.x) / s, (p.y - origin.y) / s, (p.z - origin.z) / s};
    for (std::size_t i = 0; i + 1 < kRib.size(); ++i)
      d = std::min(d, s * capsule(q, kRib[i], kRib[i + 1], 3.8f));
  }
  const Point origin = patient_.frames[8].origin;
  const Point q{std::abs(p.x - origin.x) / s, (p.y - origin.y) / s, (p.z - origin.z) / s};
  d = std::min(d, s * capsule(q, {14, -62, -26}, {52, -62, -8}, 6));
  d = std::min(d, s * capsule(q, {52, -62, -8}, {118, -22, 12}, 5.5f));
  return {.distance = d, .shell_hu = 1050, .core_hu = 260, .shell_mm = 1.4f};
}

}  // namespace sagitta::data
