#include "data/phantom_tissue.h"

#include <array>

namespace sagitta::data {
namespace {

constexpr float kSectionStep = 0.25f;
constexpr float kBelow = 120, kAbove = 90;  // mm of sections below T3 and above C1
constexpr float kLevelMm = 17;              // one level where there is no vertebra to go by

// The neck by level, from one above C1's atlas down: lengths in mm for an average adult, y relative to the
// vertebral body.
struct Profile {
  float level, half_width, front, back;                // skin
  float prevertebral, air_half_depth, air_half_width;  // tissue before the spine, airway
};
constexpr std::array<Profile, 13> kProfiles = {{
    {-2, 78, -108, 112, 14, 9, 11},
    {-0.6f, 77, -106, 104, 13, 9, 11},
    {0.6f, 74, -104, 88, 12, 8, 11},
    {1.7f, 70, -102, 74, 7, 3.5f, 12},
    {2.6f, 65, -98, 68, 5, 6.5f, 14},
    {3.6f, 60, -84, 65, 5, 6, 14},
    {4.1f, 59, -62, 65, 6, 4.5f, 12},
    {5, 59, -54, 68, 10, 6.5f, 4},
    {6, 64, -53, 73, 13, 8, 7.5f},
    {7, 84, -56, 80, 14, 8.5f, 8.5f},
    {8, 126, -61, 86, 14, 8.5f, 8.5f},
    {9, 172, -70, 90, 14, 8.5f, 8.5f},
    {12, 205, -88, 94, 14, 8.5f, 8.5f},
}};

Profile profile_at(float level) {
  std::size_t i = 0;
  while (i + 2 < kProfiles.size() && kProfiles[i + 1].level < level) ++i;
  const Profile &a = kProfiles[i], &b = kProfiles[i + 1];
  const float t = smoothstep(a.level, b.level, level);
  return {level,
          mix(a.half_width, b.half_width, t),
          mix(a.front, b.front, t),
          mix(a.back, b.back, t),
          mix(a.prevertebral, b.prevertebral, t),
          mix(a.air_half_depth, b.air_half_depth, t),
          mix(a.air_half_width, b.air_half_width, t)};
}

// Distance to an ellipse in the axial plane, good near its edge.
float ellipse(float x, float y, float half_x, float half_y) {
  return (length_2d(x / half_x, y / half_y) - 1) * std::min(half_x, half_y);
}

}  // namespace

Tissue::Tissue(const Patient& patient, float blur_mm) : patient_(patient), blur_(blur_mm) {
  head_.origin = patient.frames[0].origin;
  head_.scale = patient.size;
  z_low_ = patient.frames[kVertebrae - 1].origin.z - kBelow;
  std::array<Point, kVertebrae> canals;
  for (int v = 0; v < kVertebrae; ++v)
    canals[v] = patient.frames[v].to_world(canal_center(patient.shapes[v]));
  const int count = static_cast<int>((head_.origin.z + kAbove - z_low_) / kSectionStep);
  for (int i = 0; i < count; ++i) {
    const float z = z_low_ + kSectionStep * static_cast<float>(i);
    int upper = 0;
    while (upper + 2 < kVertebrae && patient.frames[upper + 1].origin.z > z) ++upper;
    const Frame &a = patient.frames[upper], &b = patient.frames[upper + 1];
    const float t = (a.origin.z - z) / (a.origin.z - b.origin.z);
    const float inside = std::clamp(t, 0.0f, 1.0f);
    Section s;
    s.level = static_cast<float>(upper + 1) + inside +
              (t < 0 ? t * (a.origin.z - b.origin.z) / kLevelMm : 0) +
              (t > 1 ? (t - 1) * (a.origin.z - b.origin.z) / kLevelMm : 0);
    const VertebraShape &sa = patient.shapes[upper], &sb = patient.shapes[upper + 1];
    s.body = mix(a.origin, b.origin, inside);
    s.canal = canals[0];
    for (int v = 0; v + 1 < kVertebrae && canals[v].z > z; ++v) {
      s.canal =
          mix(canals[v], canals[v + 1], std::min((canals[v].z - z) / (canals[v].z - canals[v + 1].z), 1.0f));
    }
    s.body_half_width = mix(std::max(sa.half_width, 6.0f), sb.half_width, inside) * patient.size;
    s.body_half_depth = mix(sa.half_depth, sb.half_depth, inside) * patient.size;
    const Profile p = profile_at(s.level);
    const float size = patient.size, girth = size * patient.girth;
    s.skin_half_width = p.half_width * girth;
    s.skin_front = 0.8f * s.body.y + p.front * size;
    s.skin_back = 0.6f * s.body.y + p.back * girth;
    float swelling = 0;
    for (const Fracture& f : patient.fractures) {
      const float dz = (z - patient.frames[f.level - 1].origin.z) / 15;
      swelling = std::max(swelling, f.swelling * std::exp(-dz * dz));
    }
    s.airway_half_depth = p.air_half_depth * size;
    s.airway_half_width = p.air_half_width * size;
    s.airway_y = s.body.y - s.body_half_depth - p.prevertebral * size * patient.prevertebral - swelling -
                 s.airway_half_depth;
    table_y_ = std::max(table_y_, s.level < 9 ? s.skin_back : 0.0f);
    sections_.push_back(s);
  }
}

const Section& Tissue::section(float z) const {
  const int i = static_cast<int>((z - z_low_) / kSectionStep + 0.5f);
  return sections_[static_cast<std::size_t>(std::clamp(i, 0, static_cast<int>(sections_.size()) - 1))];
}

float Tissue::z_of_level(float level) const {
  const int upper = std::clamp(static_cast<int>(level) - 1, 0, kVertebrae - 2);
  return mix(patient_.frames[upper].origin.z, patient_.frames[upper + 1].origin.z,
             level - static_cast<float>(upper + 1));
}

float Tissue::soft_hu(const Section& at, Point p) const {
  const float middle = 0.5f * (at.skin_front + at.skin_back), half = 0.5f * (at.skin_back - at.skin_front);
  const float skin = ellipse(p.x - 0.5f * at.body.x, p.y - middle, at.skin_half_width, half);
  float hu = -1000;
  if (skin > -blur_) {
    const float table = p.y - table_y_ - 4 + 0.0012f * p.x * p.x;
    if (table > -2) hu = table < 0 || (table > 30 && table < 32) ? -350 : table < 30 ? -930 : -1000;
    if (skin > blur_) return hu;
  }
  const float inside = inside_hu(at, p, -skin);
  return mix(hu, inside, std::clamp(0.5f - skin / blur_, 0.0f, 1.0f));
}

float Tissue::inside_hu(const Section& at, Point p, float depth) const {
  float hu = 0;
  const auto blend = [&](float value, float distance) {
    hu += (value - hu) * std::clamp(0.5f - distance / blur_, 0.0f, 1.0f);
  };
  const float size = patient_.size;
  const float grain = value_noise(p * 0.22f, patient_.texture_seed);
  const float back = p.y - at.canal.y, side = std::abs(p.x - at.canal.x);
  hu = 15;                                 // skin
  blend(-100 + 10 * grain, 1.8f - depth);  // fat under it
  const float fat = patient_.fat_mm * (back > 0 ? 1.5f : 1.0f) + 1.5f * grain + 1.8f;
  blend(57 + 7 * grain, fat - depth);  // muscle
  if (depth < fat) return hu;

  const Point q = head_.to_local(p);
  if (back > 0) {
    // Layers of the neck's extensors, parted by fat; the nuchal ligament in the midline.
    const float ring = length_2d(side * 0.9f, back) + 2.5f * grain;
    for (float radius : {31.0f, 43.0f, 54.0f}) blend(-70, std::abs(ring - radius * size) - 0.5f);
    blend(-40, std::max(side - 0.9f, 34 - back));
  } else {
    blend(66 + 10 * grain, ellipsoid(q, {0, -52, -17}, {25, 27, 20}));  // tongue
    // Loose tissue around the pharynx and the great vessels.
    const float loose = ellipse(p.x - at.body.x, p.y - at.airway_y, 34 * size, 24 * size);
    blend(25 + 75 * grain, loose + 4);
    const float artery = length_2d(side - 25 * size, p.y - at.body.y + 13) - 3.4f * size;
    const float vein = length_2d(side - 32 * size, p.y - at.body.y + 9) - 5.2f * size;
    blend(patient_.vessel_hu, std::min(artery, vein));
    const float lobe = 16 * size * (at.level - 6.4f);  // height above the middle of the thyroid gland
    blend(115,
          ellipsoid({side, p.y, lobe}, {15 * size, at.airway_y + 1, 0}, {7 * size, 9 * size, 18 * size}));
  }
  // Discs and ligaments; the vertebrae are laid over this column.
  if (at.level > 1.6f) {
    const float column =
        ellipse(p.x - at.body.x, p.y - at.body.y, at.body_half_width, at.body_half_depth * 1.04f);
    blend(92 + 10 * grain, column);
  }
  blend(at.level < 6.8f ? patient_.vessel_hu : 57.0f,
        length_2d(std::abs(p.x - at.body.x) - at.body_half_width - 4.5f, p.y - at.body.y - 4) - 1.9f);
  blend(-15, ellipse(side, back, 12 * size, 7.6f * size));    // epidural fat
  blend(10, ellipse(side, back, 10.5f * size, 6.6f * size));  // cerebrospinal fluid
  blend(44, ellipse(side, back, 6.3f * size, 3.9f * size));   // cord

  if (at.level > -0.9f) {
    const float airway =
        ellipse(p.x - 0.5f * at.body.x, p.y - at.airway_y, at.airway_half_width, at.airway_half_depth);
    if (at.level > 5.5f) blend(70, airway - 1.8f);
    blend(-1000, airway);
    // The epiglottis stands free in the airway.
    if (at.level > 2.9f && at.level < 4.0f) {
      const float lean = (at.level - 3.4f) * 5;
      blend(55, std::max(std::abs(p.y - at.airway_y + lean) - 1.2f, std::abs(p.x) - 9));
    }
  }
  if (q.z > 9 && q.y < -36) {
    const float nose = rounded_box(q, {0, -72, 26}, {14, 36, 17}, 6);
    blend(-1000, std::max(nose, 1 - std::abs(q.x) + std::max(0.0f, 3 * grain)));
  } else if (q.z > 12) {
    blend(36 + 5 * grain,
          std::max(ellipsoid(q, {0, 14, 74}, {63, 78, 54}), -q.y - 0.9f * (q.z - 18)));  // brain
  }
  if (at.level > 8) {
    const float lung = ellipsoid({std::abs(p.x), p.y, p.z}, {48 * size, at.body.y - 4, z_of_level(10) - 30},
                                 {34 * size, 46 * size, 58 * size});
    blend(-860 + 60 * grain, lung);
  }
  return hu;
}

}  // namespace sagitta::data
