#include "tests/real_head.h"

#include <zlib.h>

#include <cstring>
#include <optional>

namespace sagitta::testing {
namespace {

using data::Volume;

constexpr const char* kExample = "/usr/share/doc/invesalius-examples/examples/Cranium.inv3";

// The bytes of one member of a gzip-compressed tar archive.
std::string tar_member(const char* archive, const std::string& ending) {
  gzFile file = gzopen(archive, "rb");
  std::string found;
  char header[512];
  while (file && gzread(file, header, 512) == 512 && header[0] != 0) {
    const std::string name(header, strnlen(header, 100));
    const auto size = std::stoul(std::string(header + 124, 11), nullptr, 8);
    std::string bytes((size + 511) / 512 * 512, '\0');
    if (gzread(file, bytes.data(), static_cast<unsigned>(bytes.size())) != static_cast<int>(bytes.size()))
      break;
    if (name.ends_with(ending)) {
      found = bytes.substr(0, size);
      break;
    }
  }
  if (file) gzclose(file);
  return found;
}

}  // namespace

const Volume* real_head() {
  static const std::optional<Volume> volume = []() -> std::optional<Volume> {
    if (!std::filesystem::exists(kExample)) return std::nullopt;
    const std::string bytes = tar_member(kExample, "matrix.dat");
    REQUIRE(bytes.size() == std::size_t{kHeadSlices} * kHeadSide * kHeadSide * 2);
    Volume head = make_volume(kHeadSlices, kHeadSide, kHeadSide, kHeadPixel, kHeadStep);
    for (int z = 0; z < kHeadSlices; ++z)
      for (int row = 0; row < kHeadSide; ++row)
        // The example's rows run to the front, DICOM's to the back.
        std::memcpy(&head.hu[(std::size_t(z) * kHeadSide + row) * kHeadSide],
                    bytes.data() + (std::size_t(z) * kHeadSide + (kHeadSide - 1 - row)) * kHeadSide * 2,
                    kHeadSide * 2);
    return head;
  }();
  if (!volume) MESSAGE("SKIPPED: install the package invesalius-examples for the tests on a real CT");
  return volume ? &*volume : nullptr;
}

Volume small_head(const Volume& head) {
  Volume small = make_volume(kHeadSlices / 2, kHeadSide / 4, kHeadSide / 4, kHeadPixel * 4, kHeadStep * 2);
  for (int z = 0; z < small.slices; ++z)
    for (int row = 0; row < small.rows; ++row)
      for (int column = 0; column < small.columns; ++column)
        small.hu[(std::size_t(z) * small.rows + row) * small.columns + column] =
            head.at(z * 2, row * 4, column * 4);
  return small;
}

}  // namespace sagitta::testing
