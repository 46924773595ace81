// The innermost loop of every matrix product and convolution: one tile of C held in registers.
// Plain C++ on the compiler's vector extension (GCC and Clang): no intrinsics, any instruction set. A tile is
// kTileRows rows by kTileVectors SIMD vectors; its operands come packed, so that the loop reads both strictly
// in order. Bound by the two FMA units: per step kTileRows * kTileVectors FMAs against kTileRows +
// kTileVectors loads.
#pragma once
#include <algorithm>
#include <cstdint>

namespace sagitta::cpu {

// The accumulators fill the register file but for the loads of B and one broadcast of A.
#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64, kTileRows = 12, kTileVectors = 2;
#elif defined(__AVX__)
inline constexpr int kVectorBytes = 32, kTileRows = 4, kTileVectors = 3;
#else
inline constexpr int kVectorBytes = 16, kTileRows = 4, kTileVectors = 2;
#endif

template <class T>
struct Simd {
  static constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));
  typedef T Vector __attribute__((vector_size(kVectorBytes)));
  typedef T Unaligned __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
};

template <class T>
inline constexpr int kTileColumns = kTileVectors* Simd<T>::kLanes;

// c[r][column..] (+)= sum over k of a[k][r] * b[k][..] for Rows rows and Vectors vectors, of which `rows` and
// `columns` are stored. a is packed [depth][kTileRows], b [depth][kTileColumns], aligned to the vector; c
// points to rows.
template <class T, int Rows, int Vectors>
[[gnu::noinline]] void multiply_tile(std::int64_t depth, const T* a, const T* b, T* const* c,
                                     std::int64_t column, int rows, int columns, bool accumulate) {
  using Vector = typename Simd<T>::Vector;
  using Unaligned = typename Simd<T>::Unaligned;
  constexpr int kLanes = Simd<T>::kLanes;
  Vector sum[Rows][Vectors] = {};
  for (std::int64_t k = 0; k < depth; ++k) {
    Vector bk[Vectors];
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) bk[v] = *reinterpret_cast<const Vector*>(b + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sum[r][v] += a[r] * bk[v];
    a += kTileRows;
    b += kTileColumns<T>;
  }
  if (rows == Rows && columns == Vectors * kLanes) {
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) {
        auto* out = reinterpret_cast<Unaligned*>(c[r] + column + v * kLanes);
        *out = accumulate ? *out + sum[r][v] : sum[r][v];
      }
    return;
  }
  alignas(kVectorBytes) T edge[Rows][Vectors * kLanes];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) *reinterpret_cast<Vector*>(edge[r] + v * kLanes) = sum[r][v];
  for (int r = 0; r < rows; ++r)
    for (int j = 0; j < columns; ++j) {
      T& out = c[r][column + j];
      out = accumulate ? out + edge[r][j] : edge[r][j];
    }
}

// The same with the smallest kernel that covers rows x columns, so that the edges of a matrix cost what they
// are.
template <class T>
void multiply_tile(std::int64_t depth, const T* a, const T* b, T* const* c, std::int64_t column, int rows,
                   int columns, bool accumulate) {
  constexpr int kLanes = Simd<T>::kLanes;
  const auto call = [&]<int Vectors>() {
    if (kTileRows > 4 && rows <= 4) {
      multiply_tile<T, 4, Vectors>(depth, a, b, c, column, rows, columns, accumulate);
    } else if (kTileRows > 8 && rows <= 8) {
      multiply_tile<T, std::min(8, kTileRows), Vectors>(depth, a, b, c, column, rows, columns, accumulate);
    } else {
      multiply_tile<T, kTileRows, Vectors>(depth, a, b, c, column, rows, columns, accumulate);
    }
  };
  if (columns <= kLanes)
    call.template operator()<1>();
  else
    call.template operator()<kTileVectors>();
}

}  // namespace sagitta::cpu
