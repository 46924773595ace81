// The Hounsfield field of a synthetic patient: soft tissue with the bones laid over it.
// Invariant: without noise, a smooth function of position, already blurred to the resolution of the scan.
#pragma once
#include <array>
#include <span>

#include "data/phantom_patient.h"
#include "data/phantom_tissue.h"

namespace sagitta::data {

class PhantomField {
 public:
  // `blur_mm` is the resolution, about one voxel. Keeps a reference to `patient`.
  PhantomField(const Patient& patient, float blur_mm);

  // HU at `first`, `first` + step_x along x, ...
  void row(Point first, float step_x, std::span<float> hu) const;
  float at(Point p) const;

 private:
  float vertebra_hu(int index, Point p, float hu) const;
  float bone_hu(Tissue::Bone bone, const Section& at, Point p, float hu) const;

  const Patient& patient_;
  Tissue tissue_;
  float blur_;
  std::array<Bounds, kVertebrae> vertebra_bounds_;
  std::array<Bounds, Tissue::kBones> bone_bounds_;
};

}  // namespace sagitta::data
