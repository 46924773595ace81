#include "tensor/safetensors_header.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "tensor/error.h"

namespace sagitta::safetensors {
namespace {

constexpr std::array kDTypes = {
    FormatDType{"BOOL", 8},        FormatDType{"F4", 4},          FormatDType{"F6_E2M3", 6},
    FormatDType{"F6_E3M2", 6},     FormatDType{"U8", 8},          FormatDType{"I8", 8},
    FormatDType{"F8_E5M2", 8},     FormatDType{"F8_E4M3", 8},     FormatDType{"F8_E8M0", 8},
    FormatDType{"F8_E4M3FNUZ", 8}, FormatDType{"F8_E5M2FNUZ", 8}, FormatDType{"I16", 16},
    FormatDType{"U16", 16},        FormatDType{"F16", 16},        FormatDType{"BF16", 16},
    FormatDType{"I32", 32},        FormatDType{"U32", 32},        FormatDType{"F32", 32},
    FormatDType{"C64", 64},        FormatDType{"F64", 64},        FormatDType{"I64", 64},
    FormatDType{"U64", 64},
};

// What the header says about a tensor, before it is checked.
struct RawEntry {
  std::string name;
  std::string dtype;  // empty: not seen yet
  std::vector<std::uint64_t> shape;
  bool has_shape = false;
  std::vector<std::uint64_t> offsets;  // empty: not seen yet
};

// Receives the JSON events. A document tree would let a small file ask for much memory and would hide
// duplicate keys; the parser that calls this keeps no stack of its own frames either, so nesting is harmless.
class HeaderEvents {
 public:
  using json = nlohmann::json;
  using number_integer_t = json::number_integer_t;
  using number_unsigned_t = json::number_unsigned_t;
  using number_float_t = json::number_float_t;
  using string_t = json::string_t;
  using binary_t = json::binary_t;

  explicit HeaderEvents(const std::string& path) : path_(path) {}

  std::vector<RawEntry> entries;
  Metadata metadata;

  bool start_object(std::size_t) {
    if (skipping()) return ++skipped_depth_ > 0;
    switch (state_) {
      case State::start: return enter(State::names);
      case State::value:
        if (key_ != kMetadataKey) entries.emplace_back().name = key_;
        return enter(key_ == kMetadataKey ? State::metadata : State::fields);
      default: return skip_or_reject("an object");
    }
  }
  bool end_object() {
    if (skipped_depth_ > 0) return leave_skipped();
    if (state_ == State::fields) {
      const RawEntry& entry = entries.back();
      const char* absent = entry.dtype.empty()     ? "dtype"
                           : !entry.has_shape      ? "shape"
                           : entry.offsets.empty() ? "data_offsets"
                                                   : nullptr;
      if (absent) reject(fmt::format("tensor \"{}\" has no {}", entry.name, absent));
    }
    return enter(state_ == State::names ? State::start : State::names);
  }
  bool start_array(std::size_t) {
    if (skipping()) return ++skipped_depth_ > 0;
    if (state_ != State::field || (key_ != "shape" && key_ != "data_offsets"))
      return skip_or_reject("an array");
    if (key_ == "shape") entries.back().has_shape = true;
    return enter(State::numbers);
  }
  bool end_array() {
    if (skipped_depth_ > 0) return leave_skipped();
    if (key_ == "data_offsets" && entries.back().offsets.size() != 2)
      reject(fmt::format("tensor \"{}\" has {} data_offsets, expected 2", entries.back().name,
                         entries.back().offsets.size()));
    return enter(State::fields);
  }
  bool key(string_t& key) {
    if (skipped_depth_ > 0) return true;
    key_ = key;
    if (state_ == State::names) {
      if (!names_.insert(key).second) reject(fmt::format("the name \"{}\" appears twice", key));
      return enter(State::value);
    }
    if (state_ == State::metadata) return enter(State::metadata_value);
    const RawEntry& entry = entries.back();
    if ((key == "dtype" && !entry.dtype.empty()) || (key == "shape" && entry.has_shape) ||
        (key == "data_offsets" && !entry.offsets.empty()))
      reject(fmt::format("tensor \"{}\" has two fields {}", entry.name, key));
    return enter(State::field);
  }
  bool string(string_t& value) {
    if (skipped_depth_ > 0) return true;
    if (state_ == State::metadata_value) {
      if (!metadata.emplace(key_, value).second)
        reject(fmt::format("the metadata key \"{}\" appears twice", key_));
      return enter(State::metadata);
    }
    if (state_ != State::field || key_ != "dtype") return skip_or_reject("a string");
    if (!find_dtype(value))
      reject(fmt::format("tensor \"{}\" has the unknown dtype \"{}\"", entries.back().name, value));
    entries.back().dtype = value;
    return enter(State::fields);
  }
  bool number_unsigned(number_unsigned_t value) {
    if (skipped_depth_ > 0 || state_ != State::numbers) return skip_or_reject("a number");
    (key_ == "shape" ? entries.back().shape : entries.back().offsets).push_back(value);
    return true;
  }
  bool number_integer(number_integer_t) { return skip_or_reject("a negative number"); }
  bool number_float(number_float_t, const string_t&) { return skip_or_reject("a number that is no integer"); }
  bool boolean(bool) { return skip_or_reject("a boolean"); }
  bool null() {
    if (skipped_depth_ == 0 && state_ == State::value && key_ == kMetadataKey) return enter(State::names);
    return skip_or_reject("null");
  }
  bool binary(binary_t&) { return skip_or_reject("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) {
    reject(fmt::format("not valid JSON at byte {}", position));
  }

 private:
  enum class State { start, names, value, metadata, metadata_value, fields, field, numbers };

  [[noreturn]] void reject(const std::string& reason) const { fail("{}: invalid header: {}", path_, reason); }
  bool enter(State state) {
    state_ = state;
    return true;
  }
  // Fields of a tensor that the format does not define are ignored, as the reference does.
  bool unknown_field() const {
    return state_ == State::field && key_ != "dtype" && key_ != "shape" && key_ != "data_offsets";
  }
  bool skipping() const { return skipped_depth_ > 0 || unknown_field(); }
  bool skip_or_reject(const char* found) {
    if (skipped_depth_ > 0) return true;
    if (unknown_field()) return enter(State::fields);
    if (state_ == State::start) reject(fmt::format("found {}, expected an object", found));
    reject(fmt::format("found {} under \"{}\", which the format does not allow", found, key_));
  }
  bool leave_skipped() { return --skipped_depth_ > 0 ? true : enter(State::fields); }

  const std::string& path_;
  State state_ = State::start;
  std::string key_;
  std::set<std::string> names_;
  std::size_t skipped_depth_ = 0;
};

// Well-formed UTF-8 by table 3-7 of the Unicode standard: no overlong forms, no surrogates.
bool is_utf8(std::string_view text) {
  const auto at = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto in = [](unsigned value, unsigned low, unsigned high) { return low <= value && value <= high; };
  for (std::size_t i = 0; i < text.size();) {
    const unsigned first = at(i);
    if (first < 0x80) {
      ++i;
      continue;
    }
    const int trailing = in(first, 0xC2, 0xDF)   ? 1
                         : in(first, 0xE0, 0xEF) ? 2
                         : in(first, 0xF0, 0xF4) ? 3
                                                 : 0;
    if (trailing == 0) return false;
    const unsigned low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const unsigned high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (!in(at(i + 1), low, high)) return false;
    for (int k = 2; k <= trailing; ++k)
      if (!in(at(i + static_cast<std::size_t>(k)), 0x80, 0xBF)) return false;
    i += static_cast<std::size_t>(trailing) + 1;
  }
  return true;
}

// The shape as signed extents, which is what tensors use; nothing when one of them does not fit.
std::optional<std::vector<std::int64_t>> signed_shape(const std::vector<std::uint64_t>& shape) {
  std::vector<std::int64_t> result;
  for (std::uint64_t extent : shape) {
    if (!std::in_range<std::int64_t>(extent)) return std::nullopt;
    result.push_back(static_cast<std::int64_t>(extent));
  }
  return result;
}

// Checks the entries against each other and against the data, in the reference's order.
std::vector<Entry> place_entries(std::vector<RawEntry>& raw, std::span<const std::byte> data,
                                 const std::string& path) {
  std::ranges::sort(raw, {},
                    [](const RawEntry& entry) { return std::pair(entry.offsets[0], entry.offsets[1]); });
  std::vector<Entry> entries;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  std::uint64_t expected_begin = 0;
  for (RawEntry& entry : raw) {
    const std::uint64_t begin = entry.offsets[0], end = entry.offsets[1];
    require(begin == expected_begin && end >= begin,
            "{}: tensor \"{}\" has the bytes [{}, {}), expected to begin at {}", path, entry.name, begin, end,
            expected_begin);
    const auto shape = signed_shape(entry.shape);
    const ByteCount count = shape ? byte_count(*find_dtype(entry.dtype), *shape)
                                  : ByteCount{.bytes = 0, .overflow = true, .misaligned = false};
    require(!count.overflow, "{}: tensor \"{}\" has shape [{}], which is too large", path, entry.name,
            fmt::join(entry.shape, ", "));
    require(!count.misaligned, "{}: tensor \"{}\" of dtype {} does not fill whole bytes", path, entry.name,
            entry.dtype);
    require(end - begin == count.bytes, "{}: tensor \"{}\" has {} bytes, but dtype {} and shape [{}] need {}",
            path, entry.name, end - begin, entry.dtype, fmt::join(entry.shape, ", "), count.bytes);
    entries.push_back({std::move(entry.name), std::move(entry.dtype), *shape, {}});
    ranges.emplace_back(begin, end);
    expected_begin = end;
  }
  require(expected_begin == data.size(), "{}: {} bytes of tensor data, but the header describes {}; {}", path,
          data.size(), expected_begin,
          expected_begin > data.size() ? "the file is truncated" : "the file has trailing bytes");
  for (std::size_t i = 0; i < entries.size(); ++i)
    entries[i].bytes = data.subspan(ranges[i].first, ranges[i].second - ranges[i].first);
  return entries;
}

}  // namespace

const FormatDType* find_dtype(std::string_view name) {
  const auto found = std::ranges::find(kDTypes, name, &FormatDType::name);
  return found == kDTypes.end() ? nullptr : &*found;
}

ByteCount byte_count(const FormatDType& dtype, std::span<const std::int64_t> shape) {
  constexpr ByteCount overflow{.bytes = 0, .overflow = true, .misaligned = false};
  std::int64_t product = 1;
  for (std::int64_t extent : shape)
    if (__builtin_mul_overflow(product, extent, &product)) return overflow;
  if (__builtin_mul_overflow(product, std::int64_t{dtype.bits}, &product)) return overflow;
  return {
      .bytes = static_cast<std::uint64_t>(product) / 8, .overflow = false, .misaligned = product % 8 != 0};
}

Header parse_header(std::span<const std::byte> file, const std::string& path) {
  require(file.size() >= 8, "{}: {} bytes are too few for a safetensors file", path, file.size());
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  require(length <= kMaxHeaderBytes,
          "{}: the header claims {} bytes, more than the limit of {}; not a safetensors file?", path, length,
          kMaxHeaderBytes);
  require(length <= file.size() - 8,
          "{}: the header claims {} bytes, but only {} follow; the file is truncated", path, length,
          file.size() - 8);
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + 8, length);
  require(is_utf8(text), "{}: invalid header: not UTF-8", path);
  // The JSON parser takes a zero byte for the end of its input and skips a byte order mark; JSON allows
  // neither.
  require(text.find('\0') == text.npos && !text.starts_with("\xEF\xBB\xBF"),
          "{}: invalid header: not valid JSON at byte {}", path, std::min(text.find('\0'), text.size()));
  HeaderEvents events(path);
  nlohmann::json::sax_parse(text.begin(), text.end(), &events);
  return {place_entries(events.entries, file.subspan(8 + length), path), std::move(events.metadata)};
}

}  // namespace sagitta::safetensors
