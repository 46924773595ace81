#include "data/jpeg_huffman.h"

#include <algorithm>

#include "tensor/error.h"

namespace sagitta::data {

void jpeg_damaged(const char* what) { fail("the JPEG stream in PixelData is damaged: {}", what); }

HuffmanTable::HuffmanTable(std::span<const std::uint8_t, kMaxCodeBits> counts,
                           std::span<const std::uint8_t> categories)
    : categories_(categories.begin(), categories.end()), lookup_(std::size_t{1} << kLookupBits) {
  std::uint32_t code = 0, index = 0;
  for (std::size_t length = 1; length <= kMaxCodeBits; ++length) {
    first_code_[length] = code;
    first_index_[length] = index;
    code += counts[length - 1];
    index += counts[length - 1];
    if (code > 1u << length) jpeg_damaged("a Huffman table has too many codes");
    limit_[length] = code << (kMaxCodeBits - length);
    code <<= 1;
  }
  if (std::ranges::any_of(categories_, [](std::uint8_t category) { return category > 16; }))
    jpeg_damaged("a Huffman table has an impossible difference");
  fill_lookup();
}

HuffmanTable::Found HuffmanTable::find_long(std::uint64_t window) const {
  const auto prefix = static_cast<std::uint32_t>(window >> (64 - kMaxCodeBits));
  for (std::size_t length = 1; length <= kMaxCodeBits; ++length) {
    if (prefix >= limit_[length]) continue;
    const std::uint32_t code = prefix >> (kMaxCodeBits - length);
    const int category = categories_[first_index_[length] + code - first_code_[length]];
    const bool complete = category == 0 || category == 16;
    return {.difference = jpeg_difference(0, complete ? category : 0),
            .bits = static_cast<std::uint32_t>(length),
            .category = complete ? 0u : static_cast<std::uint32_t>(category)};
  }
  return {};
}

void HuffmanTable::fill_lookup() {
  for (std::uint64_t i = 0; i < lookup_.size(); ++i) {
    const std::uint64_t window = i << (64 - kLookupBits);
    Found found = find_long(window);
    if (found.bits > kLookupBits) found = {};  // the code is not decided by these bits
    if (found.category > 0 && found.bits + found.category <= kLookupBits) {
      const int category = static_cast<int>(found.category);
      found.difference =
          jpeg_difference(static_cast<std::uint32_t>(window << found.bits >> (64 - category)), category);
      found.bits += found.category;
      found.category = 0;
    }
    lookup_[i] = found;
  }
}

}  // namespace sagitta::data
