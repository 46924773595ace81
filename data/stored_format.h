// How the stored words of a CT image become Hounsfield units: arithmetic only, no files.
// Used by the reader, per slice. Invariant: a table gives the value of the formula for every word.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace sagitta::data {

// Air, and the lowest value a CT voxel takes here: padding and anything below is set to it.
inline constexpr std::int16_t kAirHu = -1024;

// How a stored word becomes Hounsfield units (DICOM PS3.3 C.7.6.3 and C.11.1).
struct StoredFormat {
  int bits_stored = 16, high_bit = 15;
  bool is_signed = false;
  // PixelPaddingValue .. RangeLimit, inclusive, in stored units.
  std::optional<int> padding_low = {}, padding_high = {};
  double slope = 1, intercept = 0;  // HU = slope * stored + intercept

  bool operator==(const StoredFormat&) const = default;
  // The value of one 16-bit word: masked to the stored bits, sign-extended if signed.
  int stored_value(std::uint16_t word) const;
  // Hounsfield units, rounded, at least kAirHu; padding is air.
  std::int16_t hu(std::uint16_t word) const;
};

// StoredFormat::hu of every word. The slices of a series nearly always share one format, and so the table.
class HuTable {
 public:
  // Writes one value per word; `hu` is as long as `words`.
  void convert(const StoredFormat& format, std::span<const std::uint16_t> words, std::span<std::int16_t> hu);

 private:
  std::optional<StoredFormat> format_;  // what the table was made for
  std::vector<std::int16_t> table_;
};

}  // namespace sagitta::data
