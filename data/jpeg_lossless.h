// Lossless JPEG (ITU-T T.81 annex H, process 14: Huffman codes of differences), as compressed CT has it.
// Decoded here because most of the time that reading such a study takes is spent on it, and the common
// decoder goes through its stream bit by bit. Invariant: damage is an error; a result is every sample as it
// was encoded.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace sagitta::data {

// The rows * columns samples of a grey stream, row-major. Nothing if the stream is of another process or of
// several components. Throws Error if it is damaged, or of another size.
std::optional<std::vector<std::uint16_t>> decode_jpeg_lossless(std::span<const std::uint8_t> stream, int rows,
                                                               int columns);

}  // namespace sagitta::data
