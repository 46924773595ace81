#include "data/stored_format.h"

#include <algorithm>
#include <cmath>

namespace sagitta::data {

int StoredFormat::stored_value(std::uint16_t word) const {
  const int mask = (1 << bits_stored) - 1;
  const int value = (word >> (high_bit + 1 - bits_stored)) & mask;
  const bool negative = is_signed && (value >> (bits_stored - 1)) != 0;
  return negative ? value - (1 << bits_stored) : value;
}

std::int16_t StoredFormat::hu(std::uint16_t word) const {
  const int value = stored_value(word);
  if (padding_low) {
    // Some scanners pad with a value outside the stored bits; that one is recognized by the whole word.
    const int whole = is_signed ? static_cast<std::int16_t>(word) : static_cast<int>(word);
    if ((value >= *padding_low && value <= *padding_high) || whole == *padding_low) return kAirHu;
  }
  return static_cast<std::int16_t>(
      std::lround(std::clamp(slope * value + intercept, double(kAirHu), 32767.0)));
}

void HuTable::convert(const StoredFormat& format, std::span<const std::uint16_t> words,
                      std::span<std::int16_t> hu) {
  if (format_ != format) {
    table_.resize(1 << 16);
    for (std::size_t word = 0; word < table_.size(); ++word)
      table_[word] = format.hu(static_cast<std::uint16_t>(word));
    format_ = format;
  }
  const std::int16_t* table = table_.data();
  std::transform(words.begin(), words.end(), hu.begin(), [=](std::uint16_t word) { return table[word]; });
}

}  // namespace sagitta::data
