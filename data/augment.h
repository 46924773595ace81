// From a picture to the square input of a network: letterbox, random geometry and brightness, normalization.
// Invariant: what is drawn is a function of (seed, epoch, slice) only - not of threads, batches or order. Up
// and down are never exchanged: C1..C7 are told apart by their height.
#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "data/image.h"
#include "tensor/random.h"

namespace sagitta::data {

struct AugmentOptions {
  double rotation_degrees = 0;  // uniform in [-r, r]
  double scale = 0;             // zoom factor uniform in [1 - s, 1 + s]
  double shift = 0;             // of the side, uniform in [-s, s] each way
  double brightness = 0;        // added, of the full range, uniform in [-b, b]
  double contrast = 0;          // gain about mid-grey uniform in [1 - c, 1 + c]
  double flip = 0;  // probability of exchanging left and right of the picture (front and back of the neck)

  bool any() const { return rotation_degrees || scale || shift || brightness || contrast || flip; }
};

// One draw of AugmentOptions; the default changes nothing.
struct Augmentation {
  double angle = 0;  // radians
  double zoom = 1;
  double shift_x = 0, shift_y = 0;  // of the side
  double brightness = 0, gain = 1;
  bool flip = false;
};

Augmentation draw(const AugmentOptions& options, random::Key key);

// Mean and standard deviation per channel, of values scaled to [0, 1].
struct Normalization {
  std::array<float, 3> mean{0.485F, 0.456F, 0.406F};  // ImageNet
  std::array<float, 3> std{0.229F, 0.224F, 0.225F};
};

// The picture scaled with equal factors to fit size x size, centered on black (air), averaged over each
// pixel's area when it shrinks.
Image letterbox(const Image& image, int size);

// A size x size picture (grey is repeated) as size*size*3 floats, augmented and normalized, into `pixels`.
void to_network_input(const Image& square, const Augmentation& augmentation,
                      const Normalization& normalization, std::span<float> pixels);

}  // namespace sagitta::data
