// write_png: every row as its difference to the row above, then run lengths and a Huffman code. CT planes are
// noise on smooth shades: searching them for repeated strings takes three times as long and finds next to
// nothing. Paeth's predictor would save another two percent, and cost every reader ten times the time of this
// one.
#include <zlib.h>

#include <algorithm>
#include <array>
#include <string>

#include "data/image.h"
#include "tensor/error.h"

namespace sagitta::data {
namespace {

constexpr std::uint8_t kUp = 2;  // the filter's number in ISO/IEC 15948, section 9

// Each row behind the number of its filter.
std::string filtered(const Image& image, std::size_t row_bytes) {
  std::string result((row_bytes + 1) * static_cast<std::size_t>(image.height), '\0');
  const std::vector<std::uint8_t> nothing(row_bytes, 0);
  auto* out = reinterpret_cast<std::uint8_t*>(result.data());
  const std::uint8_t* above = nothing.data();
  const std::uint8_t* const end = image.pixels.data() + image.pixels.size();
  for (const std::uint8_t* row = image.pixels.data(); row != end; row += row_bytes) {
    *out++ = kUp;
    for (std::size_t i = 0; i < row_bytes; ++i) out[i] = static_cast<std::uint8_t>(row[i] - above[i]);
    out += row_bytes;
    above = row;
  }
  return result;
}

std::string compressed(std::string& bytes) {
  z_stream stream{};
  require(deflateInit2(&stream, 1, Z_DEFLATED, MAX_WBITS, 9, Z_RLE) == Z_OK, "write_png: out of memory");
  std::string result(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  const int status = deflate(&stream, Z_FINISH);
  result.resize(stream.total_out);
  deflateEnd(&stream);
  require(status == Z_STREAM_END, "write_png: the image cannot be compressed");
  return result;
}

std::string big_endian(std::uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

// Length, type, content and checksum.
void append_chunk(std::string& png, const std::string& type, const std::string& content) {
  png += big_endian(static_cast<std::uint32_t>(content.size()));
  const std::size_t begin = png.size();
  png += type;
  png += content;
  const auto* checked = reinterpret_cast<const Bytef*>(png.data() + begin);
  png += big_endian(static_cast<std::uint32_t>(crc32_z(0, checked, png.size() - begin)));
}

}  // namespace

std::string png_bytes(const Image& image) {
  require(image.width > 0 && image.height > 0 && std::max(image.width, image.height) <= kMaxImageSide,
          "write_png: image is {}x{}, expected sides of 1 to {}", image.width, image.height, kMaxImageSide);
  require(image.channels >= 1 && image.channels <= 4, "write_png: image has {} channels, expected 1 to 4",
          image.channels);
  const std::size_t row_bytes = static_cast<std::size_t>(image.width) * image.channels;
  require(image.pixels.size() == row_bytes * image.height, "write_png: image has {} bytes, expected {}",
          image.pixels.size(), row_bytes * image.height);
  constexpr std::array<char, 4> kColorType = {0, 4, 2, 6};  // grey, grey + alpha, RGB, RGBA
  std::string header = big_endian(static_cast<std::uint32_t>(image.width)) +
                       big_endian(static_cast<std::uint32_t>(image.height));
  header += {8, kColorType[static_cast<std::size_t>(image.channels) - 1], 0, 0, 0};
  std::string rows = filtered(image, row_bytes);
  std::string png(kPngSignature);
  append_chunk(png, "IHDR", header);
  append_chunk(png, "IDAT", compressed(rows));
  append_chunk(png, "IEND", {});
  return png;
}

void write_png(const std::filesystem::path& path, const Image& image, Durability durability) {
  AtomicFile file(path, durability);
  file.write(png_bytes(image));
  file.commit();
}

}  // namespace sagitta::data
