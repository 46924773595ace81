// Everything of the phantom that is not a vertebra: skin, fat, muscle, airway, vessels, spinal cord, skull
// base, jaw, hyoid, larynx, ribs, collar bones, lung apices and the table of the scanner. Invariant: depends
// on the height z mostly through `Section`, tabulated once, so that a row of voxels costs little.
#pragma once
#include <vector>

#include "data/phantom_patient.h"

namespace sagitta::data {

// What a horizontal cut through the neck looks like at one height; mm in world coordinates.
struct Section {
  float level = 0;    // 1 at C1, 2 at C2, ...; continues above and below
  Point body, canal;  // centers (z unused)
  float body_half_width = 0, body_half_depth = 0;
  float skin_half_width = 0, skin_front = 0, skin_back = 0;
  float airway_y = 0, airway_half_depth = 0, airway_half_width = 0;
};

// Bone (or cartilage, teeth) other than the vertebrae.
struct BoneSample {
  float distance = 0;
  float shell_hu = 1150, core_hu = 350, shell_mm = 1.6f;
};

class Tissue {
 public:
  // `blur_mm` is the width over which one tissue passes into the next (partial volume).
  Tissue(const Patient& patient, float blur_mm);

  const Section& section(float z) const;
  // HU of soft tissue, air and table at a point, `at` being section(p.z).
  float soft_hu(const Section& at, Point p) const;

  enum class Bone { skull, jaw, larynx, thorax };
  static constexpr int kBones = 4;
  Bounds bone_bounds(Bone bone) const;
  BoneSample bone(Bone bone, const Section& at, Point p) const;

 private:
  BoneSample skull(Point local) const;
  BoneSample jaw(Point local) const;
  BoneSample larynx(const Section& at, Point p) const;
  BoneSample thorax(const Section& at, Point p) const;
  float inside_hu(const Section& at, Point p, float depth) const;
  float z_of_level(float level) const;

  const Patient& patient_;
  Frame head_;  // origin in the dens, upright
  float blur_;
  float table_y_ = 0;
  float z_low_ = 0;
  std::vector<Section> sections_;  // every kSectionStep mm from z_low_
};

}  // namespace sagitta::data
