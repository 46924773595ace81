// The decoder of lossless JPEG against an encoder that follows ITU-T T.81 annex H word by word.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

#include "data/jpeg_lossless.h"
#include "tensor/error.h"
#include "tensor/random.h"

using namespace sagitta;
using data::decode_jpeg_lossless;

namespace {

using Bytes = std::vector<std::uint8_t>;
using Words = std::vector<std::uint16_t>;

struct Settings {
  int rows = 7, columns = 9, precision = 12, predictor = 1, point_transform = 0;
  int restart_rows = 0;
  bool rare_first = false;  // short codes for what is rare, so that most codes are long
};

// Category k has a code of k + 1 ones and zeros (the last two of 16), or the other way round.
class Encoder {
 public:
  explicit Encoder(const Settings& settings) : s_(settings) {
    std::iota(order_.begin(), order_.end(), std::uint8_t{0});
    if (s_.rare_first) std::reverse(order_.begin(), order_.end());
  }

  Bytes encode(const Words& samples) {
    out_ = {0xff, 0xd8, 0xff, 0xe0, 0, 4, 'h', 'i'};
    out_.insert(out_.end(), {0xff, 0xc3, 0, 11, byte(s_.precision), byte(s_.rows >> 8), byte(s_.rows),
                             byte(s_.columns >> 8), byte(s_.columns), 1, 1, 0x11, 0});
    out_.insert(out_.end(), {0xff, 0xc4, 0, 19 + 17, 2});
    for (int length = 1; length <= 16; ++length) out_.push_back(length == 16 ? 2 : 1);
    out_.insert(out_.end(), order_.begin(), order_.end());
    if (s_.restart_rows > 0) {
      const int interval = s_.restart_rows * s_.columns;
      out_.insert(out_.end(), {0xff, 0xdd, 0, 4, byte(interval >> 8), byte(interval)});
    }
    out_.insert(out_.end(), {0xff, 0xda, 0, 8, 1, 1, 0x20, byte(s_.predictor), 0, byte(s_.point_transform)});
    for (int row = 0; row < s_.rows; ++row) {
      const bool restarts = s_.restart_rows > 0 && row > 0 && row % s_.restart_rows == 0;
      if (restarts) {
        flush();
        out_.insert(out_.end(), {0xff, byte(0xd0 + (row / s_.restart_rows - 1) % 8)});
      }
      for (int column = 0; column < s_.columns; ++column)
        put_difference(sample(samples, row, column) - prediction(samples, row, column, row == 0 || restarts));
    }
    flush();
    out_.insert(out_.end(), {0xff, 0xd9});
    return out_;
  }

 private:
  static std::uint8_t byte(int value) { return static_cast<std::uint8_t>(value); }
  int sample(const Words& samples, int row, int column) const {
    return samples[static_cast<std::size_t>(row * s_.columns + column)] >> s_.point_transform;
  }

  int prediction(const Words& samples, int row, int column, bool first_row) const {
    if (first_row)
      return column > 0 ? sample(samples, row, column - 1) : 1 << (s_.precision - s_.point_transform - 1);
    if (column == 0) return sample(samples, row - 1, 0);
    const int a = sample(samples, row, column - 1), b = sample(samples, row - 1, column),
              c = sample(samples, row - 1, column - 1);
    const std::array<int, 8> table = {0,           a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1),
                                      (a + b) >> 1};
    return table[static_cast<std::size_t>(s_.predictor)];
  }

  void put_difference(int difference) {
    difference = static_cast<std::int16_t>(difference);  // modulo 65536, -32768 standing for 32768
    const int category =
        difference == -32768 ? 16 : std::bit_width(static_cast<unsigned>(std::abs(difference)));
    const auto place = static_cast<int>(std::ranges::find(order_, category) - order_.begin());
    for (int i = 0; i < std::min(place, 16); ++i) put_bit(1);
    if (place < 16) put_bit(0);
    if (category == 16) return;
    const int bits = difference < 0 ? difference + (1 << category) - 1 : difference;
    for (int i = category - 1; i >= 0; --i) put_bit(bits >> i & 1);
  }

  void put_bit(int bit) {
    partial_ = partial_ << 1 | bit;
    if (++count_ < 8) return;
    out_.push_back(byte(partial_));
    if (out_.back() == 0xff) out_.push_back(0);
    partial_ = count_ = 0;
  }

  void flush() {
    while (count_ > 0) put_bit(1);
  }

  Settings s_;
  std::array<std::uint8_t, 17> order_{};
  Bytes out_;
  int partial_ = 0, count_ = 0;
};

// Smooth shades with noise, and a few jumps from one end of the range to the other.
Words picture(const Settings& s) {
  Words samples;
  const int largest = (1 << s.precision) - 1;
  for (int i = 0; i < s.rows * s.columns; ++i) {
    const double noise = random::uniform({3, 0, 0}, static_cast<std::uint64_t>(i));
    int value = largest / 3 + 5 * (i % s.columns) + static_cast<int>(40 * noise);
    if (i % 11 == 5) value = 0;
    if (i % 13 == 6) value = largest;
    if (i % 17 == 7) value = (largest + 1) / 2;
    samples.push_back(static_cast<std::uint16_t>(value >> s.point_transform << s.point_transform));
  }
  return samples;
}

}  // namespace

TEST_CASE("lossless JPEG: every predictor, precision, point transform and restart gives back every sample") {
  for (int predictor = 1; predictor <= 7; ++predictor)
    for (const int precision : {9, 12, 16})
      for (const int point_transform : {0, 3})
        for (const int restart_rows : {0, 1, 3})
          for (const bool rare_first : {false, true}) {
            const Settings s{.rows = 29,
                             .columns = 31,
                             .precision = precision,
                             .predictor = predictor,
                             .point_transform = point_transform,
                             .restart_rows = restart_rows,
                             .rare_first = rare_first};
            CAPTURE(predictor);
            CAPTURE(precision);
            CAPTURE(restart_rows);
            const Words samples = picture(s);
            const auto decoded = decode_jpeg_lossless(Encoder(s).encode(samples), s.rows, s.columns);
            REQUIRE(decoded.has_value());
            CHECK(*decoded == samples);
          }
}

TEST_CASE("lossless JPEG: pictures of one row, one column, one pixel") {
  for (const auto& [rows, columns] : {std::pair{1, 40}, {40, 1}, {1, 1}}) {
    const Settings s{.rows = rows, .columns = columns, .predictor = 4};
    const Words samples = picture(s);
    CHECK(decode_jpeg_lossless(Encoder(s).encode(samples), rows, columns) == samples);
  }
}

TEST_CASE("lossless JPEG: what belongs to a general decoder is left to it, what is damaged refused") {
  const Settings s{.rows = 12, .columns = 10, .restart_rows = 4};
  const Bytes good = Encoder(s).encode(picture(s));
  const auto decode = [&](const Bytes& stream) { return decode_jpeg_lossless(stream, s.rows, s.columns); };
  const auto changed = [&](std::size_t at, std::uint8_t value) {
    Bytes stream = good;
    stream[at] = value;
    return stream;
  };
  // The frame header begins at byte 8: marker, length, precision, rows, columns, components.
  CHECK(!decode(changed(9, 0xc1)).has_value());  // baseline
  CHECK(!decode(changed(12, 8)).has_value());    // bytes
  CHECK(!decode(changed(17, 3)).has_value());    // color
  CHECK_THROWS_AS(decode(changed(12, 17)), Error);
  CHECK_THROWS_WITH_AS(decode(changed(14, 13)), doctest::Contains("another size"), Error);
  CHECK_THROWS_AS(decode_jpeg_lossless(good, 12, 11), Error);
  CHECK_THROWS_AS(decode({}), Error);

  const Bytes marker = {0xff, 0xd0};
  const auto restart = std::search(good.begin(), good.end(), marker.begin(), marker.end());
  REQUIRE(restart != good.end());
  CHECK_THROWS_WITH_AS(decode(changed(static_cast<std::size_t>(restart - good.begin()) + 1, 0xd1)),
                       doctest::Contains("restart marker"), Error);
  for (std::size_t size = 0; size + 2 < good.size(); ++size)
    CHECK_THROWS_AS(decode(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size))), Error);
}

TEST_CASE("lossless JPEG: flipped bits never crash") {
  for (const bool rare_first : {false, true}) {
    const Settings s{.rows = 12,
                     .columns = 10,
                     .precision = 16,
                     .predictor = 7,
                     .restart_rows = 5,
                     .rare_first = rare_first};
    const Bytes good = Encoder(s).encode(picture(s));
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      Bytes stream = good;
      stream[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
      try {
        const auto decoded = decode_jpeg_lossless(stream, s.rows, s.columns);
        if (decoded) CHECK(decoded->size() == 120);
      } catch (const Error&) {
      }
    }
  }
}
