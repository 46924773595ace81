// Stores that bypass the caches. An ordinary store reads the line that it overwrites; for a result that is
// larger than the last cache, and so is gone from it before anyone reads it, that is a third of the traffic
// for nothing.
#pragma once
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstdint>

#include "tensor/cpu/gemm_kernel.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

// Whether a result of this many bytes is better streamed past the caches. The last cache that a few cores
// share holds 16 to 64 MB on the processors of these years; what the system says of it is wrong on virtual
// machines.
constexpr bool exceeds_caches(std::int64_t bytes) { return bytes > 24'000'000; }

// Streamed stores of this thread become visible to others no earlier than this.
inline void finish_streaming() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

template <class T>
void stream(T* to, const typename Simd<T>::Vector& value) {
#if defined(__x86_64__)
  if constexpr (sizeof(value) == 64)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to), reinterpret_cast<const __m512i&>(value));
  else if constexpr (sizeof(value) == 32)
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<const __m256i&>(value));
  else
    _mm_stream_si128(reinterpret_cast<__m128i*>(to), reinterpret_cast<const __m128i&>(value));
#else
  *reinterpret_cast<typename Simd<T>::Vector*>(to) = value;
#endif
}

// out[i] (+)= value(at) for i in [0, n), where at(p) is p[i]; a vector of them at a time, so value is written
// for numbers and vectors alike. Streamed when asked for; then nothing is added.
template <class T, class Value>
void write_row(T* out, std::int64_t n, bool accumulate, bool streamed, const Value& value) {
  using Unaligned = typename Simd<T>::Unaligned;
  constexpr int kLanes = Simd<T>::kLanes;
  streamed = streamed && reinterpret_cast<std::uintptr_t>(out) % kVectorBytes == 0;
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto result = value([i](const T* p) { return *reinterpret_cast<const Unaligned*>(p + i); });
    auto* const to = reinterpret_cast<Unaligned*>(out + i);
    if (streamed)
      stream(out + i, result);
    else
      *to = accumulate ? *to + result : result;
  }
  for (; i < n; ++i) {
    const T result = value([i](const T* p) { return p[i]; });
    out[i] = accumulate ? out[i] + result : result;
  }
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
