// From a picture to the square bytes that the device makes a network's input of: letterbox, random geometry
// and brightness. Invariant: what is drawn is a function of (seed, epoch, slice) only - not of threads,
// batches or order. Up and down are never exchanged: C1..C7 are told apart by their height.
#pragma once
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
  bool flip = false;  // done by Backend::normalize_image
};

Augmentation draw(const AugmentOptions& options, random::Key key);

// Where letterbox() puts a picture in its square: the rectangle of pixels it fills.
struct LetterboxPlace {
  int left = 0, top = 0, width = 0, height = 0;
};
LetterboxPlace letterbox_place(int width, int height, int size);

// The picture scaled with equal factors to fit size x size, centered on black (air), averaged over each
// pixel's area when it shrinks.
Image letterbox(const Image& image, int size);

// A size x size picture (grey is repeated) as size*size*3 bytes, changed as drawn and rounded, but not yet
// mirrored, into `pixels`.
void augment(const Image& square, const Augmentation& augmentation, std::span<std::uint8_t> pixels);

}  // namespace sagitta::data
