// Rounding to grey levels, the last step of everything that makes pictures.
#pragma once
#include <cstdint>

namespace sagitta::data {

// std::lround for 0 <= level <= 255, without its call for every pixel.
inline std::uint8_t grey_level(double level) {
  const int whole = static_cast<int>(level);
  return static_cast<std::uint8_t>(whole + (level - whole >= 0.5 ? 1 : 0));
}

}  // namespace sagitta::data
