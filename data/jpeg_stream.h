// A look at the markers of a JPEG or JPEG-LS stream, so that a damaged one is refused instead of half
// decoded. Decoders only warn about a stream that ends early or is smaller than announced, and fill the rest.
#pragma once
#include <cstdint>
#include <span>
#include <string>

namespace sagitta::data {

// Empty if `stream` starts with SOI, announces rows x columns in its frame header, and ends with EOI
// (ITU-T T.81 annex B; T.87 for JPEG-LS); otherwise what is wrong, in words.
std::string jpeg_stream_problem(std::span<const std::uint8_t> stream, int rows, int columns);

}  // namespace sagitta::data
