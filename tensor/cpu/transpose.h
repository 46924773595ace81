// Transposition in registers: how rows that lie apart become panels that lie side by side (gemm_pack.h).
// Bound by memory: the rows of a panel are more streams than the processor foresees, and where their distance
// is a power of two they share a few cache sets. So a row is read by whole vectors, of which each touches its
// cache line once, and the lines after it are fetched meanwhile: to L2, since in the few sets of L1 that rows
// of such distances share they would push each other out before their turn.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "tensor/cpu/gemm_kernel.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

// to = the elements kFrom(0), kFrom(1), ... of a and b laid end to end.
template <auto kFrom, class To, class From, std::size_t... I>
inline void pick(To& to, const From& a, const From& b, std::index_sequence<I...>) {
  to = __builtin_shufflevector(a, b, kFrom(static_cast<int>(I))...);
}

// Transposes kRows rows, which are whole quads (four elements) and fill a vector of kQuads quads at most, for
// as many steps as the vector has elements: to[k * width + r] = from[r][k].
template <int kQuads, int kRows, class T>
inline void transpose_square(const T* const* from, std::int64_t at, T* to, std::int64_t width) {
  constexpr int kSteps = 4 * kQuads;
  static_assert(kRows % 4 == 0 && kRows <= kSteps && kQuads <= 4);
  constexpr std::int64_t kAhead = 128 / sizeof(T);
  typedef T Vector __attribute__((vector_size(kSteps * sizeof(T))));
  typedef T Unaligned __attribute__((vector_size(kSteps * sizeof(T)), aligned(alignof(T)), may_alias));
  constexpr auto kAll = std::make_index_sequence<kSteps>();

  // Quad q of s[j][g]: step 4 q + j of the rows 4 g to 4 g + 3. Four rows at a time, within quads.
  Vector s[4][kQuads] = {};
#pragma GCC unroll 4
  for (int g = 0; g < kRows / 4; ++g) {
    Vector row[4], pairs[4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      row[r] = *reinterpret_cast<const Unaligned*>(from[4 * g + r] + at);
      __builtin_prefetch(from[4 * g + r] + at + kAhead, 0, 2);
    }
    constexpr auto kLowPairs = [](int i) { return i / 4 * 4 + i % 4 / 2 + i % 2 * kSteps; };
    constexpr auto kHighPairs = [](int i) { return i / 4 * 4 + i % 4 / 2 + i % 2 * kSteps + 2; };
    constexpr auto kFirst = [](int i) { return i / 4 * 4 + i % 2 + i % 4 / 2 * kSteps; };
    constexpr auto kSecond = [](int i) { return i / 4 * 4 + i % 2 + i % 4 / 2 * kSteps + 2; };
    pick<kLowPairs>(pairs[0], row[0], row[1], kAll);
    pick<kLowPairs>(pairs[1], row[2], row[3], kAll);
    pick<kHighPairs>(pairs[2], row[0], row[1], kAll);
    pick<kHighPairs>(pairs[3], row[2], row[3], kAll);
    pick<kFirst>(s[0][g], pairs[0], pairs[1], kAll);
    pick<kSecond>(s[1][g], pairs[0], pairs[1], kAll);
    pick<kFirst>(s[2][g], pairs[2], pairs[3], kAll);
    pick<kSecond>(s[3][g], pairs[2], pairs[3], kAll);
  }
  // Then the quads of kQuads vectors are transposed as a whole.
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    constexpr auto kEven = [](int i) { return i / 4 * 8 + i % 4; };
    constexpr auto kOdd = [](int i) { return i / 4 * 8 + i % 4 + 4; };
    Vector(&v)[kQuads] = s[j];
    if constexpr (kQuads == 2) {
      const Vector a = v[0], b = v[1];
      pick<kEven>(v[0], a, b, kAll);
      pick<kOdd>(v[1], a, b, kAll);
    } else if constexpr (kQuads == 4) {
      Vector even[2], odd[2];
      pick<kEven>(even[0], v[0], v[1], kAll);
      pick<kEven>(even[1], v[2], v[3], kAll);
      pick<kOdd>(odd[0], v[0], v[1], kAll);
      pick<kOdd>(odd[1], v[2], v[3], kAll);
      pick<kEven>(v[0], even[0], even[1], kAll);
      pick<kEven>(v[1], odd[0], odd[1], kAll);
      pick<kOdd>(v[2], even[0], even[1], kAll);
      pick<kOdd>(v[3], odd[0], odd[1], kAll);
    }
#pragma GCC unroll 4
    for (int q = 0; q < kQuads; ++q) {
      const auto store = [&]<int kBegin, int kCount>() {
        typedef T Part __attribute__((vector_size(kCount * sizeof(T))));
        typedef T Target __attribute__((vector_size(kCount * sizeof(T)), aligned(alignof(T)), may_alias));
        Part part;  // deduction of a parameter's type would lose the alignment of Target
        pick<[](int i) { return kBegin + i; }>(part, v[q], v[q], std::make_index_sequence<kCount>());
        *reinterpret_cast<Target*>(to + (4 * q + j) * width + kBegin) = part;
      };
      if constexpr (kRows == kSteps) {
        store.template operator()<0, kSteps>();
      } else {
        if constexpr ((kRows & 8) != 0) store.template operator()<0, 8>();
        if constexpr ((kRows & 4) != 0) store.template operator()<kRows & 8, 4>();
      }
    }
  }
}

// The steps [at, length) of kWidth rows, kQuads quads at a time, as far as they go; answers where they end.
template <int kQuads, int kWidth, class T>
inline std::int64_t transpose_squares(const T* const* from, std::int64_t at, std::int64_t length, T* to) {
  constexpr int kSteps = 4 * kQuads, kWhole = kWidth / kSteps * kSteps, kRest = (kWidth - kWhole) / 4 * 4;
  for (; at + kSteps <= length; at += kSteps) {
#pragma GCC unroll 4
    for (int r = 0; r < kWhole; r += kSteps)
      transpose_square<kQuads, kSteps>(from + r, at, to + at * kWidth + r, kWidth);
    if constexpr (kRest > 0)
      transpose_square<kQuads, kRest>(from + kWhole, at, to + at * kWidth + kWhole, kWidth);
    // Rows that make no quad: 6 doubles are three vectors of NEON.
    for (int r = kWhole + kRest; r < kWidth; ++r)
      for (int j = 0; j < kSteps; ++j) to[(at + j) * kWidth + r] = from[r][at + j];
  }
  return at;
}

// to[k * kWidth + r] = from[r][k] for kWidth rows of `length` elements.
template <int kWidth, class T>
void transpose_rows(const T* const* from, std::int64_t length, T* to) {
  std::int64_t at = transpose_squares<std::max(1, Simd<T>::kLanes / 4), kWidth>(from, 0, length, to);
  at = transpose_squares<1, kWidth>(from, at, length, to);
  for (; at < length; ++at)
    for (int r = 0; r < kWidth; ++r) to[at * kWidth + r] = from[r][at];
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
