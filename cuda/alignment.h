// Alignment of memory on the GPU: 16 bytes is the most that one load of a thread moves, and what cuDNN and
// cuBLASLt ask of the memory that their fast kernels get.
#pragma once
#include <cstddef>
#include <cstdint>

namespace sagitta::cuda {

inline constexpr std::size_t kAlignment = 16;  // bytes

// The address of a tensor's memory, or of what a pointer points to.
template <class Memory>
std::uintptr_t address_of(const Memory& memory) {
  if constexpr (requires { memory.raw(); })
    return reinterpret_cast<std::uintptr_t>(memory.raw());
  else
    return reinterpret_cast<std::uintptr_t>(memory);
}

// Whether all of the memory - tensors or pointers - is aligned to kBytes. Absent tensors and null pointers do
// not count.
template <std::size_t kBytes = kAlignment, class... Memory>
bool aligned(const Memory&... memory) {
  return ((address_of(memory) % kBytes == 0) && ...);
}

}  // namespace sagitta::cuda
