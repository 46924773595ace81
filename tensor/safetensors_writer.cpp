// The writing half of safetensors.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "tensor/atomic_file.h"
#include "tensor/error.h"
#include "tensor/safetensors_header.h"

namespace sagitta::safetensors {
namespace {

std::string quoted(const std::string& text, const std::string& path) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    fail("{}: a name or metadata value is not UTF-8", path);
  }
}

std::uint64_t checked_bytes(const Source& source, const std::string& path) {
  const FormatDType* dtype = find_dtype(source.dtype);
  require(dtype != nullptr, "{}: tensor \"{}\" has the unknown dtype \"{}\"", path, source.name,
          source.dtype);
  const bool negative = std::ranges::any_of(source.shape, [](std::int64_t extent) { return extent < 0; });
  const ByteCount count = byte_count(*dtype, source.shape);
  require(!negative && !count.overflow && !count.misaligned,
          "{}: tensor \"{}\" of dtype {} cannot have shape [{}]", path, source.name, source.dtype,
          fmt::join(source.shape, ", "));
  return count.bytes;
}

std::string header_text(const std::vector<Source>& sources, const Metadata& metadata,
                        const std::string& path) {
  std::string text = "{";
  const auto comma = [&] { return text.size() > 1 ? "," : ""; };
  if (!metadata.empty()) {
    std::string pairs;
    for (const auto& [key, value] : metadata)
      pairs += fmt::format("{}{}:{}", pairs.empty() ? "" : ",", quoted(key, path), quoted(value, path));
    text += fmt::format("\"{}\":{{{}}}", kMetadataKey, pairs);
  }
  std::uint64_t begin = 0;
  for (const Source& source : sources) {
    const std::uint64_t end = begin + checked_bytes(source, path);
    text += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", comma(),
                        quoted(source.name, path), source.dtype, fmt::join(source.shape, ","), begin, end);
    begin = end;
  }
  text += "}";
  text.append((8 - text.size() % 8) % 8, ' ');
  require(text.size() <= kMaxHeaderBytes, "{}: the header has {} bytes, more than the limit of {}", path,
          text.size(), kMaxHeaderBytes);
  return text;
}

}  // namespace

void write(const std::filesystem::path& path, std::vector<Source> sources, const Metadata& metadata) {
  std::set<std::string_view> names{kMetadataKey};
  for (const Source& source : sources)
    require(names.insert(source.name).second, "{}: the tensor name \"{}\" is reserved or used twice",
            path.string(), source.name);
  std::ranges::sort(sources, [](const Source& a, const Source& b) {
    const FormatDType *a_type = find_dtype(a.dtype), *b_type = find_dtype(b.dtype);
    return a_type != b_type ? a_type > b_type : a.name < b.name;
  });

  const std::string header = header_text(sources, metadata, path.string());
  AtomicFile file(path);
  const std::uint64_t length = header.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  for (const Source& source : sources) {
    const std::vector<std::byte> bytes = source.bytes();
    require(bytes.size() == checked_bytes(source, path.string()),
            "{}: tensor \"{}\" has {} bytes, expected {}", path.string(), source.name, bytes.size(),
            checked_bytes(source, path.string()));
    file.write(bytes);
  }
  file.commit();
}

}  // namespace sagitta::safetensors
