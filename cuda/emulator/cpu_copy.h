// Copies between emulated GPU memory, which is host memory, and f32 tensors of the CPU backend: how the
// emulated build lets the CPU compute what cuBLASLt and cuDNN would.
#pragma once
#include <cstring>

#include "tensor/backend.h"

namespace sagitta::cuda {

// Where a GPU tensor lies, without keeping it alive: what a captured call remembers, as a GPU's graph does.
struct DeviceMemory {
  DeviceMemory(const Tensor& tensor)
      : address(tensor ? tensor.raw() : nullptr), shape(tensor.shape()), dtype(tensor.dtype()) {}
  explicit operator bool() const { return address != nullptr; }
  std::size_t bytes() const { return static_cast<std::size_t>(shape.numel()) * size_of(dtype); }

  std::byte* address;
  Shape shape;
  DType dtype;
};

// The values there, of any floating dtype; exact for f32, bf16 and f16.
inline Tensor to_cpu(const DeviceMemory& x) {
  Backend& cpu = cpu_backend();
  const Tensor same(cpu, x.shape, x.dtype);
  std::memcpy(same.raw(), x.address, x.bytes());
  Tensor wide(cpu, x.shape, DType::f32);
  cpu.convert(same, wide);
  return wide;
}

// The way back; rounds to the dtype there.
inline void from_cpu(const Tensor& x, const DeviceMemory& y) {
  Tensor rounded(cpu_backend(), y.shape, y.dtype);
  cpu_backend().convert(x, rounded);
  std::memcpy(y.address, rounded.raw(), y.bytes());
}

}  // namespace sagitta::cuda
