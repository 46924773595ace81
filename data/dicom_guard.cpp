#include "data/dicom_guard.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/error.h"

namespace sagitta::data {
namespace {

using Offset = std::uint64_t;
using namespace std::string_view_literals;

// A DICOM report nests about ten items; each level costs DCMTK some hundred bytes of stack.
constexpr std::size_t kMaxDepth = 64;
// Five hundred slices of 512 x 512 words.
constexpr std::size_t kMaxInflatedBytes = std::size_t{256} << 20;
constexpr std::size_t kChunk = 16384;
constexpr std::uint32_t kUndefinedLength = 0xFFFFFFFFu;
constexpr std::uint32_t kItem = 0xFFFEE000u, kItemEnd = 0xFFFEE00Du, kSequenceEnd = 0xFFFEE0DDu;
constexpr std::uint32_t kMetaLength = 0x00020000u, kTransferSyntax = 0x00020010u, kPixelData = 0x7FE00010u;
constexpr Offset kMetaStart = 132;  // after the preamble and "DICM"

// The two syntaxes for which DCMTK inflates.
constexpr std::array kDeflated = {"1.2.840.10008.1.2.1.99"sv, "1.2.840.10008.1.2.4.95"sv};

// The bytes of a file, through a small window, so that pixels are passed over unread; or those of a string.
class Bytes {
 public:
  explicit Bytes(const std::filesystem::path& file) : stream_(file, std::ios::binary | std::ios::ate) {
    require(stream_.good(), "{}: cannot be opened", file.string());
    size_ = static_cast<Offset>(std::max<std::streamoff>(0, stream_.tellg()));
  }
  explicit Bytes(std::string memory) : window_(std::move(memory)), size_(window_.size()) {}

  Offset size() const { return size_; }
  // Up to `count` bytes from `at`, fewer at the end; valid until the next call.
  std::string_view view(Offset at, std::size_t count) {
    if (at >= size_) return {};
    count = static_cast<std::size_t>(std::min<Offset>(count, size_ - at));
    if (at < first_ || at + count > first_ + window_.size()) {
      window_.resize(std::max(count, kChunk));
      stream_.clear();
      stream_.seekg(static_cast<std::streamoff>(at));
      stream_.read(window_.data(), static_cast<std::streamsize>(window_.size()));
      window_.resize(static_cast<std::size_t>(stream_.gcount()));
      first_ = at;
    }
    const std::size_t begin = std::min(static_cast<std::size_t>(at - first_), window_.size());
    return std::string_view(window_).substr(begin, count);
  }

 private:
  std::ifstream stream_;
  std::string window_;
  Offset first_ = 0;  // of the window
  Offset size_ = 0;
};

std::uint32_t number(std::string_view bytes, bool big_endian) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    value = value << 8 | static_cast<std::uint8_t>(bytes[big_endian ? i : bytes.size() - 1 - i]);
  return value;
}

std::uint32_t tag_number(std::string_view head, bool big_endian) {
  return number(head.substr(0, 2), big_endian) << 16 | number(head.substr(2, 2), big_endian);
}

struct ElementHead {
  std::string_view vr;
  std::uint32_t length = 0;  // of the value
  int bytes = 0;             // of the head itself
};

// The head of an element in explicit VR; nothing if its VR is none of the standard's (PS3.5 table 7.1-1 and
// -2).
std::optional<ElementHead> explicit_head(std::string_view head, bool big_endian) {
  static constexpr std::array kShort = {"AE"sv, "AS"sv, "AT"sv, "CS"sv, "DA"sv, "DS"sv, "DT"sv,
                                        "FD"sv, "FL"sv, "IS"sv, "LO"sv, "LT"sv, "PN"sv, "SH"sv,
                                        "SL"sv, "SS"sv, "ST"sv, "TM"sv, "UI"sv, "UL"sv, "US"sv};
  static constexpr std::array kLong = {"OB"sv, "OD"sv, "OF"sv, "OL"sv, "OV"sv, "OW"sv, "SQ"sv,
                                       "SV"sv, "UC"sv, "UN"sv, "UR"sv, "UT"sv, "UV"sv};
  const std::string_view vr = head.substr(4, 2);
  if (std::ranges::find(kShort, vr) != kShort.end())
    return ElementHead{vr, number(head.substr(6, 2), big_endian), 8};
  if (std::ranges::find(kLong, vr) == kLong.end() || head.size() < 12) return std::nullopt;
  return ElementHead{vr, number(head.substr(8, 4), big_endian), 12};
}

struct Encoding {
  bool explicit_vr = true, big_endian = false;
};

// Walks the elements of a data set with a stack of its own. Whatever is not to the letter of the standard
// ends the walk: DCMTK might see sequences there that this does not see.
class Walk {
 public:
  enum class Result { sound, too_deep, unclear };

  Walk(Bytes& bytes, Offset begin, Encoding encoding) : bytes_(bytes), at_(begin) {
    levels_.push_back({Kind::elements, bytes.size(), false, encoding});
  }

  Result run() {
    while (true) {
      while (levels_.size() > 1 && !levels_.back().delimited && at_ == levels_.back().end) levels_.pop_back();
      if (levels_.size() == 1 && at_ == bytes_.size()) return Result::sound;
      if (!step()) return Result::unclear;
      if (levels_.size() / 2 > kMaxDepth) return Result::too_deep;
    }
  }

 private:
  enum class Kind { elements, items, fragments };
  struct Level {
    Kind kind;
    Offset end;  // its own, or if it is `delimited` that of the level around it
    bool delimited;
    Encoding encoding;
  };

  // Reads one tag and what it opens, closes or skips; false if that is unclear.
  bool step() {
    const Level level = levels_.back();
    const std::string_view head = bytes_.view(at_, 12);
    if (head.size() < 8) return false;
    const bool big = level.encoding.big_endian;
    const std::uint32_t tag = tag_number(head, big), length = number(head.substr(4, 4), big);
    if (tag >> 16 == 0xFFFE) return delimiter(level, tag, length);
    if (level.kind != Kind::elements) return false;
    if (!level.encoding.explicit_vr) return implicit_element(level, tag, length);
    const std::optional<ElementHead> element = explicit_head(head, big);
    return element && explicit_element(level, tag, *element);
  }

  bool delimiter(const Level& level, std::uint32_t tag, std::uint32_t length) {
    at_ += 8;
    if (tag == kItem && level.kind == Kind::items) return open(Kind::elements, length, level.encoding);
    if (tag == kItem && level.kind == Kind::fragments) return skip(length);
    const bool matches = tag == (level.kind == Kind::elements ? kItemEnd : kSequenceEnd);
    if (!matches || length != 0 || !level.delimited) return false;
    levels_.pop_back();
    return true;
  }

  bool implicit_element(const Level& level, std::uint32_t tag, std::uint32_t length) {
    at_ += 8;
    if (length == kUndefinedLength) return tag != kPixelData && open(Kind::items, length, level.encoding);
    // Only a dictionary knows which elements are sequences, but every sequence begins with an item.
    const bool is_sequence = tag != kPixelData && length >= 8 && bytes_.view(at_, 4) == "\xFE\xFF\x00\xE0"sv;
    return is_sequence ? open(Kind::items, length, level.encoding) : skip(length);
  }

  bool explicit_element(const Level& level, std::uint32_t tag, const ElementHead& element) {
    at_ += static_cast<Offset>(element.bytes);
    if (element.vr == "SQ") return open(Kind::items, element.length, level.encoding);
    if (element.length != kUndefinedLength) return skip(element.length);
    // PS3.5 section 6.2.2: an unknown element of undefined length is a sequence in implicit little endian.
    if (element.vr == "UN")
      return open(Kind::items, element.length, {.explicit_vr = false, .big_endian = false});
    return tag == kPixelData && open(Kind::fragments, element.length, level.encoding);
  }

  bool fits(std::uint32_t length) const {
    const Offset end = levels_.back().end;
    return at_ <= end && length <= end - at_;
  }

  bool open(Kind kind, std::uint32_t length, Encoding encoding) {
    const bool delimited = length == kUndefinedLength;
    if (!fits(delimited ? 0 : length)) return false;
    levels_.push_back({kind, delimited ? levels_.back().end : at_ + length, delimited, encoding});
    return true;
  }

  bool skip(std::uint32_t length) {
    if (!fits(length)) return false;
    at_ += length;
    return true;
  }

  Bytes& bytes_;
  Offset at_;
  std::vector<Level> levels_;
};

struct Meta {
  std::string syntax;  // UID
  Offset end = 0;      // where the data set begins
};

// The file meta information (PS3.10 section 7.1); nothing if it is not to the letter.
std::optional<Meta> read_meta(Bytes& bytes) {
  Meta meta{.syntax = {}, .end = kMetaStart};
  Offset promised_end = 0;
  for (std::uint32_t previous = 0;;) {
    const std::string_view head = bytes.view(meta.end, 12);
    if (head.size() < 8 || tag_number(head, false) >> 16 != 2) break;
    const std::uint32_t tag = tag_number(head, false);
    const std::optional<ElementHead> element = explicit_head(head, false);
    if (!element || element->vr == "SQ" || tag <= previous) return std::nullopt;
    previous = tag;
    const Offset value = meta.end + static_cast<Offset>(element->bytes);
    const std::uint32_t length = element->length;
    if (length > bytes.size() - value) return std::nullopt;
    if (tag == kTransferSyntax && length <= 64) meta.syntax = bytes.view(value, length);
    if (tag == kMetaLength && length == 4) promised_end = value + 4 + number(bytes.view(value, 4), false);
    meta.end = value + length;
  }
  while (meta.syntax.ends_with('\0') || meta.syntax.ends_with(' ')) meta.syntax.pop_back();
  if (meta.syntax.empty() || meta.end != promised_end) return std::nullopt;
  return meta;
}

// Nothing for a syntax whose encoding DCMTK may guess.
std::optional<Encoding> encoding_of(std::string_view syntax) {
  static constexpr std::array kExplicitLittle = {
      "1.2.840.10008.1.2.1"sv,    "1.2.840.10008.1.2.1.99"sv, "1.2.840.10008.1.2.4.50"sv,
      "1.2.840.10008.1.2.4.51"sv, "1.2.840.10008.1.2.4.57"sv, "1.2.840.10008.1.2.4.70"sv,
      "1.2.840.10008.1.2.4.80"sv, "1.2.840.10008.1.2.4.81"sv, "1.2.840.10008.1.2.4.90"sv,
      "1.2.840.10008.1.2.4.91"sv, "1.2.840.10008.1.2.5"sv};
  if (std::ranges::find(kExplicitLittle, syntax) != kExplicitLittle.end()) return Encoding{true, false};
  if (syntax == "1.2.840.10008.1.2") return Encoding{false, false};
  if (syntax == "1.2.840.10008.1.2.2") return Encoding{true, true};
  return std::nullopt;
}

// How often any of `patterns` occurs.
std::size_t count(Bytes& bytes, std::span<const std::string_view> patterns) {
  std::size_t found = 0;
  for (const std::string_view pattern : patterns) {
    // Chunks overlap by one byte less than the pattern, so that each occurrence is in exactly one.
    for (Offset at = 0; at < bytes.size(); at += kChunk - pattern.size() + 1) {
      const std::string_view chunk = bytes.view(at, kChunk);
      for (std::size_t i = 0; (i = chunk.find(pattern, i)) != std::string_view::npos; ++i) ++found;
    }
  }
  return found;
}

// The data set of a deflated file, as far as it can be inflated.
std::string inflated(Bytes& bytes, Offset begin, const std::string& name) {
  z_stream stream{};
  require(inflateInit2(&stream, -MAX_WBITS) == Z_OK, "{}: out of memory", name);
  const std::unique_ptr<z_stream, decltype(&inflateEnd)> end(&stream, &inflateEnd);
  std::string result;
  std::array<char, kChunk> out;
  for (Offset at = begin; at < bytes.size(); at += kChunk) {
    const std::string_view in = bytes.view(at, kChunk);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    stream.avail_in = static_cast<uInt>(in.size());
    do {
      stream.next_out = reinterpret_cast<Bytef*>(out.data());
      stream.avail_out = static_cast<uInt>(out.size());
      const int status = inflate(&stream, Z_NO_FLUSH);
      result.append(out.data(), out.size() - stream.avail_out);
      require(result.size() <= kMaxInflatedBytes, "{}: inflates to more than {} MiB, too much for CT images",
              name, kMaxInflatedBytes >> 20);
      if (status != Z_OK && status != Z_BUF_ERROR) return result;
    } while (stream.avail_out == 0);
  }
  return result;
}

void check_nesting(Bytes& bytes, Offset begin, std::optional<Encoding> encoding, const std::string& name) {
  const Walk::Result result = encoding ? Walk(bytes, begin, *encoding).run() : Walk::Result::unclear;
  require(result != Walk::Result::too_deep,
          "{}: its sequences are nested more than {} deep, which no CT image needs", name, kMaxDepth);
  if (result == Walk::Result::sound) return;
  // Every level needs an item, in one byte order or the other.
  static constexpr std::array kItems = {"\xFE\xFF\x00\xE0"sv, "\xFF\xFE\xE0\x00"sv};
  require(count(bytes, kItems) <= kMaxDepth, "{}: damaged or truncated DICOM file: its sequences are broken",
          name);
}

}  // namespace

void refuse_dicom_bomb(const std::filesystem::path& file) {
  const std::string name = file.string();
  Bytes bytes(file);
  require(bytes.view(0, kMetaStart).ends_with("DICM"), "{}: not a DICOM file (no DICM marker)", name);
  const std::optional<Meta> meta = read_meta(bytes);
  if (!meta) {
    require(count(bytes, kDeflated) == 0, "{}: damaged or truncated DICOM file: its header is broken", name);
    return check_nesting(bytes, 0, std::nullopt, name);
  }
  if (std::ranges::any_of(
          kDeflated, [&](std::string_view uid) { return meta->syntax.find(uid) != std::string::npos; })) {
    Bytes data_set(inflated(bytes, meta->end, name));
    return check_nesting(data_set, 0, encoding_of(meta->syntax), name);
  }
  check_nesting(bytes, meta->end, encoding_of(meta->syntax), name);
}

}  // namespace sagitta::data
