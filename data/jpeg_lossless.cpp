#include "data/jpeg_lossless.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "data/jpeg_huffman.h"

namespace sagitta::data {
namespace {

// What decoding one sample can consume: a code and the bits of its difference.
constexpr int kMaxSampleBits = kMaxCodeBits + 15;
constexpr std::size_t kPadding = 16;  // zeros behind a segment, so that reading ahead stays inside

// The bits of one segment between restart markers, stuffing removed.
class Bits {
 public:
  // Behind the `size` bytes there are kPadding zeros.
  Bits(const std::uint8_t* bytes, std::size_t size) : bytes_(bytes), size_(size) {}

  int difference(const HuffmanTable& table) {
    refill();
    HuffmanTable::Found found = table.find(window_);
    if (found.bits == 0) [[unlikely]] {
      found = table.find_long(window_);
      if (found.bits == 0) jpeg_damaged("a code is in no table");
    }
    consume(found.bits);
    if (found.category == 0) [[likely]]
      return found.difference;
    const int category = static_cast<int>(found.category);
    const auto bits = static_cast<std::uint32_t>(window_ >> (64 - category));
    consume(found.category);
    return jpeg_difference(bits, category);
  }

  // Whether more was read than there is.
  bool overrun() const { return 8 * at_ > 8 * size_ + static_cast<std::size_t>(count_); }

 private:
  void refill() {
    if (count_ >= kMaxSampleBits) return;
    if (at_ < size_) [[likely]] {
      std::uint64_t bytes = 0;
      std::memcpy(&bytes, bytes_ + at_, sizeof bytes);
      if constexpr (std::endian::native == std::endian::little) bytes = __builtin_bswap64(bytes);
      window_ |= bytes >> count_;  // those beyond the whole bytes counted here are the same again next time
    }
    const int taken = (63 - count_) / 8;
    at_ += static_cast<std::size_t>(taken);
    count_ += 8 * taken;
  }

  void consume(std::uint32_t bits) {
    window_ <<= bits;
    count_ -= static_cast<int>(bits);
  }

  std::uint64_t window_ = 0;  // the next bits, from the top
  int count_ = 0;             // how many of them are known
  const std::uint8_t* bytes_;
  std::size_t at_ = 0, size_;
};

struct Scan {
  int precision = 0, rows = 0, columns = 0;
  int predictor = 0, point_transform = 0;
  int restart_rows = 0;  // between restart markers; 0: none
  HuffmanTable table;
};

// The samples of a row but the first, which the caller predicts. `predict` has the samples left, above and
// upper left.
template <class Predict>
void decode_row(Bits& bits, const HuffmanTable& table, const std::uint16_t* above,
                std::span<std::uint16_t> row, const Predict& predict) {
  Bits local = bits;  // in registers
  int left = row[0], upper_left = above[0];
  for (std::size_t i = 1; i < row.size(); ++i) {
    const int up = above[i];
    left = static_cast<std::uint16_t>(predict(left, up, upper_left) + local.difference(table));
    row[i] = static_cast<std::uint16_t>(left);
    upper_left = up;
  }
  bits = local;
}

// T.81 table H.1.
void decode_row(Bits& bits, const HuffmanTable& table, int predictor, const std::uint16_t* above,
                std::span<std::uint16_t> row) {
  const auto decode = [&](const auto& predict) { decode_row(bits, table, above, row, predict); };
  switch (predictor) {
    case 1: return decode([](int a, int, int) { return a; });
    case 2: return decode([](int, int b, int) { return b; });
    case 3: return decode([](int, int, int c) { return c; });
    case 4: return decode([](int a, int b, int c) { return a + b - c; });
    case 5: return decode([](int a, int b, int c) { return a + ((b - c) >> 1); });
    case 6: return decode([](int a, int b, int c) { return b + ((a - c) >> 1); });
    default: return decode([](int a, int b, int) { return (a + b) >> 1; });
  }
}

// The rows of one segment into `samples`; its first row is predicted from the left alone (T.81 H.1.2.1).
void decode_segment(const Scan& scan, Bits bits, std::span<std::uint16_t> samples) {
  const auto columns = static_cast<std::size_t>(scan.columns);
  for (std::size_t begin = 0; begin < samples.size(); begin += columns) {
    const bool is_first = begin == 0;
    const std::span<std::uint16_t> row = samples.subspan(begin, columns);
    const std::uint16_t* above = is_first ? row.data() : row.data() - columns;
    const int first = is_first ? 1 << (scan.precision - scan.point_transform - 1) : above[0];
    row[0] = static_cast<std::uint16_t>(first + bits.difference(scan.table));
    decode_row(bits, scan.table, is_first ? 1 : scan.predictor, above, row);
  }
  if (bits.overrun()) jpeg_damaged("it ends early");
}

class Reader {
 public:
  Reader(std::span<const std::uint8_t> stream, int rows, int columns) : stream_(stream) {
    scan_.rows = rows;
    scan_.columns = columns;
  }

  std::optional<std::vector<std::uint16_t>> decode() {
    if (stream_.size() < 4 || stream_[0] != 0xff || stream_[1] != 0xd8)
      jpeg_damaged("it does not begin as one");
    at_ = 2;
    while (true) {
      const int marker = next_marker();
      const std::span<const std::uint8_t> content = segment();
      switch (marker) {
        case 0xc3:
          if (!read_frame(content)) return std::nullopt;
          break;
        case 0xc4: read_tables(content); break;
        case 0xdd: read_restart_interval(content); break;
        case 0xda:
          if (!read_scan(content)) return std::nullopt;
          return decode_scan();
        default:
          if (marker >= 0xc0 && marker <= 0xcf) return std::nullopt;  // another process
          if (marker == 0xd9) jpeg_damaged("it has no scan");
      }
    }
  }

 private:
  int next_marker() {
    if (at_ >= stream_.size() || stream_[at_] != 0xff) jpeg_damaged("a marker is missing");
    while (at_ < stream_.size() && stream_[at_] == 0xff) ++at_;  // fill bytes
    if (at_ >= stream_.size()) jpeg_damaged("it ends early");
    return stream_[at_++];
  }

  static int word(std::span<const std::uint8_t> bytes, std::size_t at) {
    return bytes[at] << 8 | bytes[at + 1];
  }

  std::span<const std::uint8_t> segment() {
    if (stream_.size() - at_ < 2) jpeg_damaged("it ends early");
    const auto length = static_cast<std::size_t>(word(stream_, at_));
    if (length < 2 || length > stream_.size() - at_) jpeg_damaged("a segment is longer than the stream");
    const std::span<const std::uint8_t> content = stream_.subspan(at_ + 2, length - 2);
    at_ += length;
    return content;
  }

  // Components, and precisions of less than nine bits, which do not make words, are for a general decoder.
  bool read_frame(std::span<const std::uint8_t> content) {
    if (content.size() < 9) jpeg_damaged("its frame header is cut off");
    scan_.precision = content[0];
    if (content[5] != 1 || scan_.precision <= 8) return false;
    if (scan_.precision > 16) jpeg_damaged("its precision is impossible");
    if (word(content, 1) != scan_.rows || word(content, 3) != scan_.columns)
      jpeg_damaged("it is of another size");
    return true;
  }

  void read_tables(std::span<const std::uint8_t> content) {
    while (!content.empty()) {
      if (content.size() < 1 + kMaxCodeBits) jpeg_damaged("a Huffman table is cut off");
      const std::size_t id = content[0];
      const auto counts = content.subspan(1).first<kMaxCodeBits>();
      std::size_t codes = 0;
      for (const std::uint8_t count : counts) codes += count;
      if (id > 3 || codes == 0 || codes > content.size() - 1 - kMaxCodeBits)
        jpeg_damaged("a Huffman table is impossible");
      tables_[id] = HuffmanTable(counts, content.subspan(1 + kMaxCodeBits, codes));
      content = content.subspan(1 + kMaxCodeBits + codes);
    }
  }

  void read_restart_interval(std::span<const std::uint8_t> content) {
    if (content.size() < 2) jpeg_damaged("its restart interval is cut off");
    const int samples = word(content, 0);
    if (samples % scan_.columns != 0) jpeg_damaged("its restart interval is no number of rows");
    scan_.restart_rows = samples / scan_.columns;
  }

  bool read_scan(std::span<const std::uint8_t> content) {
    if (content.size() < 6) jpeg_damaged("its scan header is cut off");
    if (content[0] != 1) return false;
    if (scan_.precision == 0) jpeg_damaged("it has no frame header");
    const std::size_t table = content[2] >> 4;
    scan_.predictor = content[3];
    scan_.point_transform = content[5] & 15;
    if (table > 3 || !tables_[table].defined()) jpeg_damaged("its Huffman table is missing");
    if (scan_.predictor < 1 || scan_.predictor > 7 || scan_.point_transform >= scan_.precision)
      jpeg_damaged("its scan header is impossible");
    scan_.table = std::move(tables_[table]);
    return true;
  }

  // Copies the bytes up to the next marker to `bytes_`, without the zero that follows each 0xff; returns the
  // marker.
  int next_segment() {
    std::size_t size = 0;
    while (true) {
      const std::uint8_t* begin = stream_.data() + at_;
      const auto* found = static_cast<const std::uint8_t*>(std::memchr(begin, 0xff, stream_.size() - at_));
      if (found == nullptr || found + 1 == stream_.data() + stream_.size()) jpeg_damaged("it ends early");
      const auto run = static_cast<std::size_t>(found - begin);
      std::memcpy(bytes_.data() + size, begin, run);
      size += run;
      at_ += run + 1;
      if (stream_[at_] == 0xff) continue;  // a fill byte before a marker
      if (stream_[at_++] != 0) break;
      bytes_[size++] = 0xff;
    }
    std::memset(bytes_.data() + size, 0, kPadding);
    segment_bytes_ = size;
    return stream_[at_ - 1];
  }

  std::vector<std::uint16_t> decode_scan() {
    std::vector<std::uint16_t> samples(static_cast<std::size_t>(scan_.rows) *
                                       static_cast<std::size_t>(scan_.columns));
    bytes_.resize(stream_.size() - at_ + kPadding);
    const int rows_each = scan_.restart_rows > 0 ? scan_.restart_rows : scan_.rows;
    for (int row = 0, count = 0; row < scan_.rows; row += rows_each, ++count) {
      const int rows = std::min(rows_each, scan_.rows - row), marker = next_segment();
      const bool is_last = row + rows == scan_.rows;
      if (!is_last && marker != 0xd0 + count % 8) jpeg_damaged("a restart marker is missing");
      decode_segment(scan_, Bits(bytes_.data(), segment_bytes_),
                     std::span(samples).subspan(
                         static_cast<std::size_t>(row) * static_cast<std::size_t>(scan_.columns),
                         static_cast<std::size_t>(rows) * static_cast<std::size_t>(scan_.columns)));
    }
    if (scan_.point_transform > 0)
      for (std::uint16_t& sample : samples)
        sample = static_cast<std::uint16_t>(sample << scan_.point_transform);
    return samples;
  }

  std::span<const std::uint8_t> stream_;
  std::size_t at_ = 0;
  Scan scan_;
  std::array<HuffmanTable, 4> tables_;
  std::vector<std::uint8_t> bytes_;  // of one segment
  std::size_t segment_bytes_ = 0;
};

}  // namespace

std::optional<std::vector<std::uint16_t>> decode_jpeg_lossless(std::span<const std::uint8_t> stream, int rows,
                                                               int columns) {
  return Reader(stream, rows, columns).decode();
}

}  // namespace sagitta::data
