#include "data/rle.h"

#include "tensor/error.h"

namespace sagitta::data {
namespace {

constexpr std::size_t kHeaderBytes = 64;  // the number of segments and 15 offsets, 32-bit little endian

std::size_t header_word(std::span<const std::uint8_t> frame, std::size_t index) {
  const auto* at = &frame[index * 4];
  return std::size_t{at[0]} | std::size_t{at[1]} << 8 | std::size_t{at[2]} << 16 | std::size_t{at[3]} << 24;
}

// Hands the first `count` unpacked bytes of a segment to `put(index, byte)`.
template <class Put>
void unpack(std::span<const std::uint8_t> segment, std::size_t count, Put put) {
  std::size_t at = 0, done = 0;
  while (done < count) {
    require(at < segment.size(), "the RLE segment in PixelData is truncated");
    const int control = static_cast<std::int8_t>(segment[at++]);
    if (control == -128) continue;  // reserved: no operation
    const std::size_t run = static_cast<std::size_t>(control < 0 ? 1 - control : control + 1);
    const std::size_t used = control < 0 ? 1 : run;
    require(used <= segment.size() - at, "the RLE segment in PixelData is truncated");
    for (std::size_t i = 0; i < run && done < count; ++i) put(done++, segment[at + (control < 0 ? 0 : i)]);
    at += used;
  }
}

}  // namespace

std::vector<std::uint16_t> decode_rle(std::span<const std::uint8_t> frame, std::size_t count) {
  require(frame.size() > kHeaderBytes, "the RLE frame in PixelData is truncated");
  const std::size_t segments = header_word(frame, 0);
  require(segments == 2, "the RLE frame in PixelData has {} segments, expected 2", segments);
  const std::size_t high = header_word(frame, 1), low = header_word(frame, 2);
  require(high >= kHeaderBytes && high < low && low < frame.size(),
          "the RLE frame in PixelData has impossible offsets");
  std::vector<std::uint16_t> words(count);
  unpack(frame.subspan(high, low - high), count,
         [&](std::size_t i, std::uint8_t byte) { words[i] = static_cast<std::uint16_t>(byte << 8); });
  unpack(frame.subspan(low), count,
         [&](std::size_t i, std::uint8_t byte) { words[i] = static_cast<std::uint16_t>(words[i] | byte); });
  return words;
}

}  // namespace sagitta::data
