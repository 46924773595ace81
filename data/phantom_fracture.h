// Fractures as edits of a vertebra's shape: a break plane that opens into a dark gap, a displaced fragment, a
// body that has lost height. Invariant: nothing changes outside the fracture's region, which is what its
// bounding box is made of.
#pragma once
#include <string_view>
#include <vector>

#include "data/phantom_shapes.h"
#include "data/phantom_vertebra.h"

namespace sagitta::data {

enum class FractureKind { wedge, burst, teardrop, dens, hangman, ring, lamina, spinous, pillar };

std::string_view fracture_name(FractureKind kind);

// All lengths in the vertebra's local mm.
struct Fracture {
  int level = 3;  // 1..7
  FractureKind kind = FractureKind::wedge;
  Point center{}, half{};    // the region: a box of half extents `half`
  Point anchor{}, normal{};  // the break plane
  float gap = 0;             // mm, 0 for none
  Point shift{};             // displacement of the fragment, the side the normal points to
  float height_loss = 0;     // mm of the body's front
  float swelling = 0;        // mm that the tissue before the spine is thickened by, outside the region too

  Bounds region() const { return {center - half, center + half}; }
};

// The breaks of one fractured vertebra of a kind that occurs at its level. `severity` 1 is moderate; gaps,
// displacements and height loss grow with it.
std::vector<Fracture> sample_fracture(const VertebraShape& shape, float severity, CounterRandom& random);

// Where the intact bone now at `p` was before the fracture.
Point undo_displacement(const Fracture& fracture, const VertebraShape& shape, Point p);

// Signed distance to the bone at `p` when the intact one is `distance`: larger inside the gap.
float open_gap(const Fracture& fracture, Point p, float distance);

// HU added to the marrow at the undisplaced point `p`, where trabeculae are driven into each other.
float impaction_hu(const Fracture& fracture, const VertebraShape& shape, Point p);

}  // namespace sagitta::data
