// Atomic operations, with the relaxed ordering that CUDA's have.
#pragma once
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
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  std::atomic_ref<T> target(*address);
  T before = target.load(std::memory_order_relaxed);
  while (before < value && !target.compare_exchange_weak(before, value, std::memory_order_relaxed)) {
  }
  return before;
}
template <class T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  std::atomic_ref<T> target(*address);
  T before = target.load(std::memory_order_relaxed);
  while (value < before && !target.compare_exchange_weak(before, value, std::memory_order_relaxed)) {
  }
  return before;
}
inline unsigned atomicInc(unsigned* address, unsigned limit) {
  std::atomic_ref<unsigned> target(*address);
  unsigned before = target.load(std::memory_order_relaxed);
  while (!target.compare_exchange_weak(before, before >= limit ? 0 : before + 1, std::memory_order_relaxed)) {
  }
  return before;
}
