// One synthetic patient: how the vertebrae are shaped, stacked and bent, which are broken, and how much of
// what surrounds them. Invariant: a pure function of (seed, study number, labels, difficulty); the world's
// origin is the center of the body of C4.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "data/phantom_fracture.h"
#include "data/phantom_vertebra.h"

namespace sagitta::data {

inline constexpr int kVertebrae = 10;  // C1..C7 and T1..T3

struct Patient {
  std::array<VertebraShape, kVertebrae> shapes;  // [level - 1]
  std::array<Frame, kVertebrae> frames;
  std::array<float, kVertebrae> disc_mm;  // height of the disc above each level
  std::vector<Fracture> fractures;
  float size = 1;          // of all lengths, 1 is an average adult
  float bone_density = 1;  // of the marrow
  float cortex_mm = 1.2f;  // thickness of the shell
  float fat_mm = 6;        // under the skin
  float girth = 1;         // of the neck
  float vessel_hu = 45;    // 45 plain, up to 350 with contrast medium
  float prevertebral = 1;  // thickness of the tissue before the spine, relative
  float jaw_drop_mm = 0;   // how far the mouth is open
  std::uint32_t texture_seed = 0;
};

// `fractured` is C1..C7; `difficulty` 0 gives plain, 1 very subtle fractures.
Patient sample_patient(std::uint64_t seed, int study, const std::array<int, 7>& fractured, double difficulty);

}  // namespace sagitta::data
