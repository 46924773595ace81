// 8-bit pictures on disk: what reslicing writes, what the loader reads, what reports show.
// Invariant: pixels.size() == width * height * channels, rows from the top, channels interleaved.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/atomic_file.h"

namespace sagitta::data {

struct Image {
  int width = 0, height = 0;
  int channels = 0;  // 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA
  std::vector<std::uint8_t> pixels;
};

// The largest width or height that is read or written.
inline constexpr int kMaxImageSide = 16384;
// What a PNG begins with.
inline constexpr std::string_view kPngSignature = "\x89PNG\r\n\x1a\n";

// The image as a PNG (ISO/IEC 15948). Throws Error if it is inconsistent.
std::string png_bytes(const Image& image);
// The same into a file, whole or not at all. Throws Error if the file cannot be written.
void write_png(const std::filesystem::path& path, const Image& image,
               Durability durability = Durability::survives_power_loss);

// Reads a PNG or JPEG; deeper samples are reduced to 8 bits. Checks the checksum of every PNG chunk, so a
// damaged file is refused rather than shown. Throws Error naming the file.
Image read_image(const std::filesystem::path& path);

}  // namespace sagitta::data
