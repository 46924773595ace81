// Element types of a tensor.
// f32 is what models compute in on a CPU, f64 the reference for gradient checks, bf16 and f16 belong to GPUs;
// the integer types carry labels, indices, pixels and counters.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sagitta {

enum class DType : std::uint8_t { f32, f64, bf16, f16, i32, i64, i16, u8 };

// Bytes per element.
constexpr std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
    case DType::i64: return 8;
    case DType::f32:
    case DType::i32: return 4;
    case DType::bf16:
    case DType::f16:
    case DType::i16: return 2;
    case DType::u8: return 1;
  }
  return 0;
}

constexpr std::string_view name_of(DType dtype) {
  constexpr std::string_view kNames[] = {"f32", "f64", "bf16", "f16", "i32", "i64", "i16", "u8"};
  return kNames[static_cast<std::size_t>(dtype)];
}

constexpr bool is_half(DType dtype) { return dtype == DType::bf16 || dtype == DType::f16; }

constexpr bool is_floating(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f64 || is_half(dtype);
}

// What sums, statistics and losses of an op run in: f32 for the 16-bit types, else the type itself.
constexpr DType accumulate_dtype(DType dtype) { return is_half(dtype) ? DType::f32 : dtype; }

// The DType of a C++ type; only types with a specialization can be read from or written to tensors.
template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::i32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<std::int16_t> {
  static constexpr DType value = DType::i16;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::u8;
};
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

}  // namespace sagitta
