// The JSON header of a safetensors file: parsing and validation, and the dtypes of the format.
// Internal to tensor/safetensors. Nothing here trusts its input: arithmetic is checked, nothing is allocated
// in proportion to a number that the file merely claims.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "tensor/safetensors.h"

namespace sagitta::safetensors {

// The reference's limit on the length of a header, for readers and writers.
inline constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
inline constexpr std::string_view kMetadataKey = "__metadata__";

struct FormatDType {
  std::string_view name;
  int bits = 0;
};
// Every dtype of the format in ascending order of the reference's list, by which a writer sorts; null when
// unknown.
const FormatDType* find_dtype(std::string_view name);

// Number of bytes of a tensor, or nothing when the product overflows 63 bits. `misaligned` is set when the
// elements (4- and 6-bit types) do not fill whole bytes.
struct ByteCount {
  std::uint64_t bytes = 0;
  bool overflow = false;
  bool misaligned = false;
};
ByteCount byte_count(const FormatDType& dtype, std::span<const std::int64_t> shape);

struct Header {
  std::vector<Entry> entries;  // in the order of their bytes, spans into `file`
  Metadata metadata;
};
// `file` is the whole file; `path` goes into the messages. Throws Error on the first violation.
Header parse_header(std::span<const std::byte> file, const std::string& path);

}  // namespace sagitta::safetensors
