// Atomic operations, with the relaxed ordering that CUDA's have.
#pragma once
#include <algorithm>
#include <atomic>
#include <type_traits>

inline constexpr int __NV_ATOMIC_RELAXED = 0;
inline constexpr int __NV_THREAD_SCOPE_BLOCK = 2;
inline constexpr int __NV_THREAD_SCOPE_DEVICE = 3;

template <class T>
T __nv_atomic_load_n(T* address, int /*order*/, int /*scope*/) {
  return std::atomic_ref<T>(*address).load(std::memory_order_relaxed);
}
template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*address).fetch_add(value, std::memory_order_relaxed);
}
template <class T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return std::atomic_ref<T>(*address).exchange(value, std::memory_order_relaxed);
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  std::atomic_ref<T>(*address).compare_exchange_strong(expected, value, std::memory_order_relaxed);
  return expected;
}

namespace sagitta::cuda::emulator {

// Replaces the value by next(value) in one step, and returns what it was.
template <class T, class Next>
T fetch_and_replace(T* address, const Next& next) {
  std::atomic_ref<T> target(*address);
  T before = target.load(std::memory_order_relaxed);
  while (!target.compare_exchange_weak(before, next(before), std::memory_order_relaxed)) {
  }
  return before;
}

}  // namespace sagitta::cuda::emulator

template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return sagitta::cuda::emulator::fetch_and_replace(address, [&](T old) { return std::max(old, value); });
}
template <class T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return sagitta::cuda::emulator::fetch_and_replace(address, [&](T old) { return std::min(old, value); });
}
inline unsigned atomicInc(unsigned* address, unsigned limit) {
  return sagitta::cuda::emulator::fetch_and_replace(address,
                                                    [&](unsigned old) { return old >= limit ? 0 : old + 1; });
}
