// From a run-time dtype to a compile-time type: the one place where the CPU backend chooses a template.
#pragma once
#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/error.h"
#include "tensor/half.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

template <class T>
struct TypeTag {};

// Calls f(TypeTag<T>{}) with T = float or double. Throws on any other dtype.
template <class F>
decltype(auto) dispatch_floating(DType dtype, F&& f) {
  if (dtype == DType::f32) return f(TypeTag<float>{});
  if (dtype == DType::f64) return f(TypeTag<double>{});
  fail("cpu backend: dtype is {}, expected f32 or f64", name_of(dtype));
}

// As above with the 16-bit types, which the CPU stores and converts but does not compute in.
template <class F>
decltype(auto) dispatch_stored_floating(DType dtype, F&& f) {
  if (dtype == DType::bf16) return f(TypeTag<BFloat16>{});
  if (dtype == DType::f16) return f(TypeTag<Float16>{});
  return dispatch_floating(dtype, f);
}

// As above for every type that a CPU tensor may hold.
template <class F>
decltype(auto) dispatch_any(DType dtype, F&& f) {
  switch (dtype) {
    case DType::i32: return f(TypeTag<std::int32_t>{});
    case DType::i64: return f(TypeTag<std::int64_t>{});
    case DType::i16: return f(TypeTag<std::int16_t>{});
    case DType::u8: return f(TypeTag<std::uint8_t>{});
    default: return dispatch_stored_floating(dtype, f);
  }
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
