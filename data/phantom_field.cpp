#include "data/phantom_field.h"

namespace sagitta::data {
namespace {

// Share of a voxel that lies inside a surface at signed distance d.
float coverage(float d, float blur) { return std::clamp(0.5f - d / blur, 0.0f, 1.0f); }

// Calls visit(i) for the voxels of a row that lie within the bounds.
template <class Visit>
void for_row_inside(const Bounds& b, Point first, float step, std::size_t count, Visit visit) {
  if (first.y < b.low.y || first.y > b.high.y || first.z < b.low.z || first.z > b.high.z) return;
  const float from = std::ceil((b.low.x - first.x) / step), to = std::floor((b.high.x - first.x) / step);
  const auto last = static_cast<float>(count) - 1;
  for (float i = std::max(from, 0.0f); i <= std::min(to, last); ++i) visit(static_cast<std::size_t>(i));
}

}  // namespace

PhantomField::PhantomField(const Patient& patient, float blur_mm)
    : patient_(patient), tissue_(patient, blur_mm), blur_(blur_mm) {
  for (int i = 0; i < kVertebrae; ++i)
    vertebra_bounds_[i] = patient.frames[i].enclose(vertebra_bounds(patient.shapes[i]));
  for (int i = 0; i < Tissue::kBones; ++i)
    bone_bounds_[i] = tissue_.bone_bounds(static_cast<Tissue::Bone>(i));
}

float PhantomField::vertebra_hu(int index, Point p, float hu) const {
  const VertebraShape& shape = patient_.shapes[index];
  const Point local = patient_.frames[index].to_local(p);
  Point intact = local;
  for (const Fracture& f : patient_.fractures)
    if (f.level == index + 1) intact = undo_displacement(f, shape, intact);
  float distance = vertebra_distance(shape, intact);
  if (distance > 4) return hu;
  distance +=
      0.35f * value_noise(intact * 0.25f, patient_.texture_seed + 31u * static_cast<std::uint32_t>(index));
  distance *= patient_.size;
  float surface = distance, impaction = 0;
  for (const Fracture& f : patient_.fractures) {
    if (f.level != index + 1) continue;
    surface = open_gap(f, local, surface);
    impaction += impaction_hu(f, shape, intact);
  }
  const float inside = coverage(surface, blur_);
  if (inside <= 0) return hu;
  const float grain =
      value_noise(intact * 0.8f, patient_.texture_seed + 7) + 0.6f * value_noise(intact * 0.3f, 3);
  const float marrow = 290 * patient_.bone_density * (1 + 0.2f * grain) + impaction;
  // The shell is denser than the marrow; where fracture ends are fresh there is no shell.
  const float shell = coverage(-distance - patient_.cortex_mm, std::max(blur_, 0.6f));
  return mix(hu, mix(marrow, 1180, shell), inside);
}

float PhantomField::bone_hu(Tissue::Bone bone, const Section& at, Point p, float hu) const {
  const BoneSample sample = tissue_.bone(bone, at, p);
  const float inside = coverage(sample.distance, blur_);
  if (inside <= 0) return hu;
  const float shell = coverage(-sample.distance - sample.shell_mm, blur_);
  return mix(hu, mix(sample.core_hu, sample.shell_hu, shell), inside);
}

void PhantomField::row(Point first, float step_x, std::span<float> hu) const {
  const Section& section = tissue_.section(first.z);
  const auto point = [&](std::size_t i) {
    return Point{first.x + step_x * static_cast<float>(i), first.y, first.z};
  };
  for (std::size_t i = 0; i < hu.size(); ++i) hu[i] = tissue_.soft_hu(section, point(i));
  for (int b = 0; b < Tissue::kBones; ++b) {
    for_row_inside(bone_bounds_[b], first, step_x, hu.size(), [&](std::size_t i) {
      hu[i] = bone_hu(static_cast<Tissue::Bone>(b), section, point(i), hu[i]);
    });
  }
  for (int v = 0; v < kVertebrae; ++v) {
    for_row_inside(vertebra_bounds_[v], first, step_x, hu.size(),
                   [&](std::size_t i) { hu[i] = vertebra_hu(v, point(i), hu[i]); });
  }
}

float PhantomField::at(Point p) const {
  float hu = 0;
  row(p, 1, {&hu, 1});
  return hu;
}

}  // namespace sagitta::data
