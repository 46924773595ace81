#include "data/phantom_patient.h"

#include <numbers>

namespace sagitta::data {
namespace {

constexpr float kRadians = std::numbers::pi_v<float> / 180;

// Turn about x by `nod` (positive: the top leans forward), about y by `lean`, about z by `turn`; radians.
Frame oriented(float nod, float lean, float turn, float scale) {
  const float cn = std::cos(nod), sn = std::sin(nod), cl = std::cos(lean), sl = std::sin(lean);
  const float ct = std::cos(turn), st = std::sin(turn);
  const auto rotate = [&](Point p) {
    p = {p.x, cn * p.y - sn * p.z, sn * p.y + cn * p.z};
    p = {cl * p.x + sl * p.z, p.y, -sl * p.x + cl * p.z};
    return Point{ct * p.x - st * p.y, st * p.x + ct * p.y, p.z};
  };
  return {.ex = rotate({1, 0, 0}), .ey = rotate({0, 1, 0}), .ez = rotate({0, 0, 1}), .scale = scale};
}

void sample_shapes(Patient& patient, CounterRandom& random) {
  // Wear comes with age: narrow discs and spurs around C5/C6 first.
  const double age = random.uniform();
  for (int i = 0; i < kVertebrae; ++i) {
    VertebraShape& s = patient.shapes[i] = average_vertebra(i + 1);
    const auto vary = [&](float& length, double deviation) {
      length *= static_cast<float>(random.normal(1, deviation));
    };
    vary(s.half_width, 0.03);
    vary(s.half_depth, 0.03);
    vary(s.half_height, 0.035);
    vary(s.spinous_length, 0.12);
    vary(s.spinous_drop, 0.3);
    vary(s.uncus, 0.15);
    patient.disc_mm[i] = static_cast<float>(i >= 7 ? random.normal(4.2, 0.4) : random.normal(5.4, 0.5));
    const double wear = age * (i == 4 || i == 5 || i == 6 ? 0.75 : 0.35);
    if (i >= 2 && random.chance(wear)) {
      patient.disc_mm[i] *= static_cast<float>(random.uniform(0.4, 0.8));
      s.osteophyte = static_cast<float>(random.uniform(0.8, 2.8));
      if (i >= 3)
        patient.shapes[i - 1].osteophyte = std::max(patient.shapes[i - 1].osteophyte, 0.7f * s.osteophyte);
    }
  }
  patient.bone_density = static_cast<float>(std::max(0.65, random.normal(1.15 - 0.35 * age, 0.12)));
  patient.cortex_mm = static_cast<float>(random.normal(1.35 - 0.25 * age, 0.1));
}

// From T3 upward, each vertebra sits on the one below, turned by its share of the lordosis.
void stack_vertebrae(Patient& patient, CounterRandom& random) {
  const float slope = static_cast<float>(random.normal(24, 6)) * kRadians;     // of T1
  const float lordosis = static_cast<float>(random.normal(20, 9)) * kRadians;  // C7 to C2
  const float lean = static_cast<float>(random.normal(0, 2.5)) * kRadians;
  const float turn = static_cast<float>(random.normal(0, 3)) * kRadians;
  float kyphosis = 0;  // of the wedge fractures below
  for (int i = kVertebrae - 1; i >= 0; --i) {
    // 0 at C7 and below, 1 at C2 and above.
    const float up = std::clamp((6 - i) / 5.0f, 0.0f, 1.0f);
    float nod = slope - lordosis * (up + 0.12f * std::sin(up * std::numbers::pi_v<float>)) + kyphosis;
    if (i > 7) nod += 3 * kRadians * static_cast<float>(i - 7);
    if (i == 0) nod -= 0.3f * nod;
    nod += static_cast<float>(random.normal(0, 1)) * kRadians;
    const float twist = turn * up + (i == 0 ? static_cast<float>(random.normal(0, 3)) * kRadians : 0.0f);
    Frame frame = oriented(nod, lean * (0.4f + up), twist, patient.size);
    if (i < kVertebrae - 1) {
      const Frame& below = patient.frames[i + 1];
      const float lower = patient.shapes[i + 1].half_height, disc = 0.5f * patient.disc_mm[i + 1];
      // C1's ring rides on the dens.
      const Point joint = i == 0 ? below.to_world({0, -0.4f, 17}) : below.to_world({0, 0, lower + disc});
      frame.origin = joint + frame.ez * (i == 0 ? 0 : (patient.shapes[i].half_height + disc) * patient.size);
    }
    patient.frames[i] = frame;
    for (const Fracture& f : patient.fractures) {
      if (f.level != i + 1) continue;
      if (f.kind == FractureKind::wedge)
        kyphosis += 0.5f * std::atan(f.height_loss / (2 * patient.shapes[i].half_depth));
      if (f.height_loss > 0)
        patient.frames[i].origin = patient.frames[i].origin + frame.ez * (-0.35f * f.height_loss);
    }
  }
  // The atlas follows a broken dens.
  for (const Fracture& f : patient.fractures) {
    if (f.kind == FractureKind::dens)
      patient.frames[0].origin = patient.frames[0].origin + patient.frames[1].direction(f.shift * 0.8f);
  }
  const Point center = patient.frames[3].origin;
  for (Frame& frame : patient.frames) frame.origin = frame.origin - center;
}

}  // namespace

Patient sample_patient(std::uint64_t seed, int study, const std::array<int, 7>& fractured,
                       double difficulty) {
  CounterRandom random(seed, 1000003u * static_cast<std::uint64_t>(study) + 1);
  Patient patient;
  patient.size = static_cast<float>(random.normal(1, 0.055));
  sample_shapes(patient, random);
  for (int i = 0; i < 7; ++i) {
    // Each level has numbers of its own, so that a label changes its level only.
    CounterRandom own(seed,
                      1000003u * static_cast<std::uint64_t>(study) + 100 + static_cast<std::uint64_t>(i));
    if (!fractured[i]) continue;
    const auto severity = static_cast<float>((2 - 1.6 * difficulty) * own.uniform(0.85, 1.2));
    for (const Fracture& f : sample_fracture(patient.shapes[i], severity, own))
      patient.fractures.push_back(f);
  }
  stack_vertebrae(patient, random);
  patient.fat_mm = static_cast<float>(random.uniform(3, 11));
  patient.girth = static_cast<float>(random.normal(1, 0.06)) + 0.006f * patient.fat_mm;
  patient.vessel_hu = random.chance(0.3) ? static_cast<float>(random.uniform(140, 320)) : 45.0f;
  patient.prevertebral = static_cast<float>(random.normal(1, 0.15));
  patient.jaw_drop_mm = static_cast<float>(random.uniform(0, 8));
  patient.texture_seed = static_cast<std::uint32_t>(random.next());
  return patient;
}

}  // namespace sagitta::data
