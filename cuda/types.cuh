// The three element types of the GPU: how a dtype becomes a type, and how values enter and leave arithmetic.
// Invariant: kernels compute in float whatever they store; a 16-bit value is rounded once, when it is
// written.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "tensor/dtype.h"
#include "tensor/error.h"
#include "tensor/host_device.h"

namespace sagitta {

template <>
struct DTypeOf<__nv_bfloat16> {
  static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<__half> {
  static constexpr DType value = DType::f16;
};

}  // namespace sagitta

namespace sagitta::cuda {

SAGITTA_HOST_DEVICE inline float to_float(float value) { return value; }
SAGITTA_HOST_DEVICE inline float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }
SAGITTA_HOST_DEVICE inline float to_float(__half value) { return __half2float(value); }

// Rounds to nearest even. f16 overflows to infinity, which is how loss scaling notices.
template <class T>
SAGITTA_HOST_DEVICE inline T from_float(float value) {
  return value;
}
template <>
SAGITTA_HOST_DEVICE inline __nv_bfloat16 from_float<__nv_bfloat16>(float value) {
  return __float2bfloat16_rn(value);
}
template <>
SAGITTA_HOST_DEVICE inline __half from_float<__half>(float value) {
  return __float2half_rn(value);
}

template <class T>
struct TypeTag {
  using type = T;
};

// Calls function(TypeTag<T>{}) with the type of `dtype`; for host code that picks a kernel.
template <class Function>
void dispatch_dtype(DType dtype, Function&& function) {
  switch (dtype) {
    case DType::f32: return function(TypeTag<float>{});
    case DType::bf16: return function(TypeTag<__nv_bfloat16>{});
    case DType::f16: return function(TypeTag<__half>{});
    default: fail("cuda: dtype {} has no kernel, expected f32, bf16 or f16", name_of(dtype));
  }
}

}  // namespace sagitta::cuda
