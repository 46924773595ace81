// Whole multiples: how many units cover an amount, and the amount they cover.
#pragma once
#include <concepts>
#include <cstdint>
#include <type_traits>

namespace sagitta {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

template <std::integral T>
constexpr T round_up(T amount, std::type_identity_t<T> unit) {
  return (amount + unit - 1) / unit * unit;
}

}  // namespace sagitta
