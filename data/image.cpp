#include "data/image.h"

#include <zlib.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

#include "tensor/error.h"

#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 16384
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include <stb_image.h>

namespace sagitta::data {
namespace {

static_assert(kMaxImageSide == STBI_MAX_DIMENSIONS);
constexpr std::int64_t kMaxPixels = 64 << 20;
constexpr std::size_t kMaxFileBytes = 512 << 20;

std::uint32_t checksum(std::string_view bytes) {
  return static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

std::uint32_t big_endian_32(std::string_view bytes) {
  std::uint32_t value = 0;
  for (unsigned char byte : bytes.substr(0, 4)) value = value << 8 | byte;
  return value;
}

// The decoder skips PNG checksums and reads on after damage, which would turn one flipped bit into a wrong
// picture. Returns the number of compressed bytes.
std::int64_t check_png_chunks(std::string_view file, const std::string& name) {
  std::int64_t compressed = 0;
  std::size_t at = kPngSignature.size();
  while (true) {
    require(file.size() >= at + 12, "{}: the PNG ends early, in chunk at byte {}; copy it again", name, at);
    const std::size_t length = big_endian_32(file.substr(at));
    require(length <= file.size() - at - 12, "{}: the PNG is cut off in the chunk at byte {}; copy it again",
            name, at);
    const std::string_view type = file.substr(at + 4, 4);
    require(checksum(file.substr(at + 4, length + 4)) == big_endian_32(file.substr(at + 8 + length)),
            "{}: the PNG is damaged (checksum of the chunk at byte {}); copy it again", name, at);
    if (type == "IDAT") compressed += static_cast<std::int64_t>(length);
    if (type == "IEND") return compressed;
    at += length + 12;
  }
}

// The JPEG decoder trusts Huffman tables to have at most 256 codes; one with more would write past its
// buffers.
void check_jpeg_tables(std::string_view file, const std::string& name) {
  const auto byte = [&](std::size_t at) {
    return at < file.size() ? static_cast<unsigned char>(file[at]) : 0u;
  };
  const auto length = [&](std::size_t at) { return static_cast<int>(byte(at) << 8 | byte(at + 1)); };
  // Metadata (APPn) may hold any bytes; after it, FF C4 can only be the marker of a table.
  std::size_t at = 2;
  while (byte(at) == 0xFF && byte(at + 1) >= 0xE0 && byte(at + 1) <= 0xEF)
    at += 2 + static_cast<std::size_t>(length(at + 2));
  while ((at = file.find("\xFF\xC4", at)) != std::string_view::npos) {
    at += 2;
    std::size_t table = at + 2;
    for (int left = length(at) - 2; left > 0;) {
      unsigned codes = 0;
      for (std::size_t i = 1; i <= 16; ++i) codes += byte(table + i);
      require(codes <= 256, "{}: the JPEG is damaged (Huffman table at byte {})", name, at);
      table += 17 + codes;
      left -= 17 + static_cast<int>(codes);
    }
  }
}

}  // namespace

Image read_image(const std::filesystem::path& path) {
  const std::string name = path.string();
  const std::string file = read_text_file(path, kMaxFileBytes);
  const auto* bytes = reinterpret_cast<const stbi_uc*>(file.data());
  const int size = static_cast<int>(file.size());
  const bool is_png = file.starts_with(kPngSignature);
  require(is_png || file.starts_with("\xff\xd8"), "{}: is neither PNG nor JPEG", name);
  if (!is_png) check_jpeg_tables(file, name);
  const std::int64_t compressed = is_png ? check_png_chunks(file, name) : 0;

  Image image;
  const bool known = stbi_info_from_memory(bytes, size, &image.width, &image.height, &image.channels) != 0;
  require(known, "{}: not a readable image ({})", name, known ? "" : stbi_failure_reason());
  const std::int64_t count = static_cast<std::int64_t>(image.width) * image.height;
  require(image.width > 0 && image.height > 0 && std::max(image.width, image.height) <= kMaxImageSide &&
              count <= kMaxPixels,
          "{}: {}x{} pixels is outside what is read (sides to {}, {} pixels)", name, image.width,
          image.height, kMaxImageSide, kMaxPixels);
  // Compressed data larger than the samples it stands for is padding at best, a decompression bomb at worst.
  require(compressed <= count * 8 + count / 8 + image.height * 16 + 65536,
          "{}: {} compressed bytes for {}x{} pixels is not a sane PNG", name, compressed, image.width,
          image.height);
  const std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> pixels(
      stbi_load_from_memory(bytes, size, &image.width, &image.height, &image.channels, 0), &stbi_image_free);
  require(pixels != nullptr, "{}: the image is damaged ({})", name, pixels ? "" : stbi_failure_reason());
  image.pixels.assign(pixels.get(), pixels.get() + count * image.channels);
  return image;
}

}  // namespace sagitta::data
