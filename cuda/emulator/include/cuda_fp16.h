// IEEE half precision as storage: conversions only, for kernels compute in float.
#pragma once
#include <cmath>

#include "cuda/emulator/vector_types.h"
#include "tensor/half.h"

struct __half {
  std::uint16_t bits;
};
struct __half2 {
  alignas(4) __half x;
  __half y;
};
using half = __half;
using half2 = __half2;

inline float __half2float(__half value) { return sagitta::float_from_f16(value.bits); }
inline __half __float2half_rn(float value) {
  return {std::isnan(value) ? std::uint16_t{0x7FFF} : sagitta::f16_from(value)};  // a GPU knows one NaN only
}
inline __half __float2half(float value) { return __float2half_rn(value); }
inline float2 __half22float2(__half2 value) { return {__half2float(value.x), __half2float(value.y)}; }
inline __half2 __floats2half2_rn(float x, float y) { return {__float2half_rn(x), __float2half_rn(y)}; }
inline __half2 __float22half2_rn(float2 value) { return __floats2half2_rn(value.x, value.y); }
inline unsigned short __half_as_ushort(__half value) { return value.bits; }
inline __half __ushort_as_half(unsigned short bits) { return {bits}; }
