#include "data/jpeg_stream.h"

#include <fmt/format.h>

namespace sagitta::data {
namespace {

constexpr int kStartOfImage = 0xd8, kEndOfImage = 0xd9, kStartOfScan = 0xda;

// SOF0..SOF15 without the Huffman (C4), reserved (C8) and arithmetic (CC) tables, and SOF55 of JPEG-LS.
bool is_frame_header(int marker) {
  return (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc) ||
         marker == 0xf7;
}

bool ends_with_end_of_image(std::span<const std::uint8_t> stream) {
  const auto marker_before = [&](std::size_t end) {
    return end >= 2 && stream[end - 2] == 0xff && stream[end - 1] == kEndOfImage;
  };
  std::size_t end = stream.size();
  // Fragments are padded to even length: with zeros by the standard, with an arbitrary byte by some writers.
  if (marker_before(end - 1)) return true;
  while (end > 0 && stream[end - 1] == 0) --end;
  return marker_before(end);
}

}  // namespace

std::string jpeg_stream_problem(std::span<const std::uint8_t> stream, int rows, int columns) {
  const auto word = [&](std::size_t at) { return stream[at] << 8 | stream[at + 1]; };
  if (stream.size() < 4 || stream[0] != 0xff || stream[1] != kStartOfImage)
    return "PixelData is not a JPEG stream";
  if (!ends_with_end_of_image(stream)) return "the JPEG stream in PixelData is truncated";
  for (std::size_t at = 2; at + 9 < stream.size();) {
    if (stream[at] != 0xff) break;
    const int marker = stream[at + 1];
    if (marker == 0xff) {  // a fill byte
      ++at;
      continue;
    }
    if (marker == kStartOfScan) break;
    if (is_frame_header(marker)) {
      const int height = word(at + 5), width = word(at + 7);
      if (height == rows && width == columns) return {};
      return fmt::format("the JPEG stream in PixelData is {} x {}, expected {} rows x {} columns", height,
                         width, rows, columns);
    }
    at += 2 + static_cast<std::size_t>(word(at + 2));
  }
  return "the JPEG stream in PixelData has no frame header";
}

}  // namespace sagitta::data
