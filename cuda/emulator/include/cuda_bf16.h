// bfloat16 as storage: conversions only, for kernels compute in float.
#pragma once
#include <cmath>

#include "cuda/emulator/vector_types.h"
#include "tensor/half.h"

struct __nv_bfloat16 {
  std::uint16_t bits;
};
struct __nv_bfloat162 {
  alignas(4) __nv_bfloat16 x;
  __nv_bfloat16 y;
};

inline float __bfloat162float(__nv_bfloat16 value) { return sagitta::float_from_bf16(value.bits); }
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  return {std::isnan(value) ? std::uint16_t{0x7FFF} : sagitta::bf16_from(value)};  // a GPU knows one NaN only
}
inline __nv_bfloat16 __float2bfloat16(float value) { return __float2bfloat16_rn(value); }
inline float2 __bfloat1622float2(__nv_bfloat162 value) {
  return {__bfloat162float(value.x), __bfloat162float(value.y)};
}
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {__float2bfloat16_rn(x), __float2bfloat16_rn(y)};
}
inline __nv_bfloat162 __float22bfloat162_rn(float2 value) { return __floats2bfloat162_rn(value.x, value.y); }
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 value) { return value.bits; }
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) { return {bits}; }
