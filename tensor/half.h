// The two 16-bit floating types on the host: how their bits stand for numbers.
// bfloat16 is the upper half of a float (8 exponent bits, 8 digits); float16 is IEEE 754 binary16 (5 exponent
// bits, 11 digits, largest value 65504). Invariant: they are stored and converted, never computed with;
// arithmetic is float's. Every conversion to 16 bits in the CPU code is one of these.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

#include "tensor/dtype.h"

namespace sagitta {

// Rounds to nearest, ties to even; NaN stays NaN.
constexpr std::uint16_t bf16_from(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

// Exact.
constexpr float float_from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

// Rounds to nearest, ties to even, also among the subnormals; from 65520 on infinity; NaN stays NaN.
inline std::uint16_t f16_from(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
  std::uint32_t half = 0;
  if (magnitude > 0x7F800000u) {
    half = 0x7E00u | (magnitude >> 13 & 0x3FFu);
  } else if (magnitude >= 0x477FF000u) {
    half = 0x7C00u;
  } else if (magnitude < 0x38800000u) {
    // Subnormals are multiples of 2^-24, the spacing of floats in [0.5, 1): the sum is rounded there.
    half = std::bit_cast<std::uint32_t>(std::fabs(value) + 0.5F) - std::bit_cast<std::uint32_t>(0.5F);
  } else {
    half = (magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1u)) >> 13;
  }
  return static_cast<std::uint16_t>(sign | half);
}

// Exact, subnormals and NaN included.
constexpr float float_from_f16(std::uint16_t bits) {
  const std::uint32_t sign = (bits & 0x8000u) << 16, exponent = bits >> 10 & 31u, fraction = bits & 0x3FFu;
  if (exponent == 0) return (sign ? -1.0F : 1.0F) * static_cast<float>(fraction) * 0x1p-24F;
  const std::uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

// An element of a bf16 tensor. From wider types it is rounded by way of float, as PyTorch does.
struct BFloat16 {
  BFloat16() = default;
  template <class T>
  explicit BFloat16(T value) : bits(bf16_from(static_cast<float>(value))) {}
  operator float() const { return float_from_bf16(bits); }

  std::uint16_t bits;
};

// An element of an f16 tensor.
struct Float16 {
  Float16() = default;
  template <class T>
  explicit Float16(T value) : bits(f16_from(static_cast<float>(value))) {}
  operator float() const { return float_from_f16(bits); }

  std::uint16_t bits;
};

template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<Float16> {
  static constexpr DType value = DType::f16;
};

}  // namespace sagitta
