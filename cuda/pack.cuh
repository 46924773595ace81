// Pack: neighboring elements that one thread moves at once. A memory-bound kernel is fast when each of its
// loads and stores moves 16 bytes per thread; this is how, and how a kernel falls back to single elements.
#pragma once
#include <cstdint>

#include "cuda/alignment.h"
#include "cuda/types.cuh"
#include "tensor/rounding.h"

namespace sagitta::cuda {

// Elements of T in the 16 bytes of one load.
template <class T>
inline constexpr int kPackSize = static_cast<int>(kAlignment / sizeof(T));

template <class T, int kSize>
struct alignas(sizeof(T) * kSize) Pack {
  T value[kSize];
};

// kSize neighboring elements by one load. `source` must be aligned to kSize elements. Several packs that are
// on their way at once are better kept as they are than as floats: a 16-bit pack needs half the registers.
template <int kSize, class T>
__device__ inline Pack<T, kSize> load_pack(const T* source) {
  return *reinterpret_cast<const Pack<T, kSize>*>(source);
}

template <int kSize, class T>
__device__ inline void unpack(const Pack<T, kSize>& pack, float (&values)[kSize]) {
#pragma unroll
  for (int i = 0; i < kSize; ++i) values[i] = to_float(pack.value[i]);
}

// The same elements as floats.
template <int kSize, class T>
__device__ inline void load_floats(const T* source, float (&values)[kSize]) {
  unpack(load_pack<kSize>(source), values);
}

// The way back: rounds and stores kSize neighboring elements at once.
template <int kSize, class T>
__device__ inline void store_floats(T* destination, const float (&values)[kSize]) {
  Pack<T, kSize> pack;
#pragma unroll
  for (int i = 0; i < kSize; ++i) pack.value[i] = from_float<T>(values[i]);
  *reinterpret_cast<Pack<T, kSize>*>(destination) = pack;
}

// Stores to a gradient target: adds to what is there, or overwrites without reading.
template <int kSize, class T>
__device__ inline void store_target(T* destination, float (&values)[kSize], bool accumulate) {
  if (accumulate) {
    float before[kSize];
    load_floats<kSize>(destination, before);
#pragma unroll
    for (int i = 0; i < kSize; ++i) values[i] += before[i];
  }
  store_floats<kSize>(destination, values);
}

// The same for a pack of which only the first `count` elements exist, or which is not aligned: then the
// elements move one by one, and those that do not exist read as 0. With `packed` true for the whole grid and
// full packs this is the fast path above.
template <int kSize, class T>
__device__ inline void load_floats(const T* source, std::int64_t count, bool packed, float (&values)[kSize]) {
  if (packed && count >= kSize) return load_floats(source, values);
#pragma unroll
  for (int i = 0; i < kSize; ++i) values[i] = i < count ? to_float(source[i]) : 0.0F;
}

template <int kSize, class T>
__device__ inline void store_floats(T* destination, std::int64_t count, bool packed,
                                    const float (&values)[kSize]) {
  if (packed && count >= kSize) return store_floats(destination, values);
#pragma unroll
  for (int i = 0; i < kSize; ++i)
    if (i < count) destination[i] = from_float<T>(values[i]);
}

template <int kSize, class T>
__device__ inline void store_target(T* destination, std::int64_t count, bool packed, float (&values)[kSize],
                                    bool accumulate) {
  if (accumulate) {
    float before[kSize];
    load_floats(destination, count, packed, before);
#pragma unroll
    for (int i = 0; i < kSize; ++i) values[i] += before[i];
  }
  store_floats(destination, count, packed, values);
}

// Whether packs of 16 bytes may be used: rows of `columns` elements of T, all pointers aligned.
template <class T, class... Pointers>
bool packs_fit(std::int64_t columns, Pointers... pointers) {
  return columns % kPackSize<T> == 0 && aligned(pointers...);
}

}  // namespace sagitta::cuda
