// Batch: pictures with their labels as bytes, as the loader makes them and the device takes them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sagitta::data {

struct Batch {
  std::int64_t size = 0;
  int side = 0;                      // of the square pictures
  std::vector<std::uint8_t> pixels;  // [size, side, side, 3]
  std::vector<std::int32_t> crop;    // [size, 3], as Backend::normalize_image takes it: 0, 0, mirrored
  std::vector<float> labels;         // [size, labels]; zeros for slices without labels
  std::vector<std::size_t> records;  // indices into the slice set
};

}  // namespace sagitta::data
