// The RLE Lossless transfer syntax for 16-bit grey frames (DICOM PS3.5 annex G).
// Decoded here and not by DCMTK, whose decoder trusts the offsets of a damaged frame.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sagitta::data {

// Decodes one frame of `count` words: two byte planes, the high bytes first, each packed with PackBits.
// Throws Error if the frame does not hold exactly two planes of at least `count` bytes.
std::vector<std::uint16_t> decode_rle(std::span<const std::uint8_t> frame, std::size_t count);

}  // namespace sagitta::data
