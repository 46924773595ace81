// The innermost loop of every matrix product and convolution: one tile of C held in registers.
// Plain C++ on the compiler's vector extension (GCC and Clang): no intrinsics, any instruction set. A tile is
// up to kTileRows rows by kTileVectors SIMD vectors of
// kVectorBytes, which isa/*.h define. Bound by the two FMA units: per step of the sum
// kTileRows * kTileVectors FMAs against kTileRows + kTileVectors loads. 97 to 99 % of their peak with AVX-512
// (bench_ops --only 'tile kernel').
#pragma once
#include <algorithm>
#include <cstdint>

namespace sagitta::cpu::inline SAGITTA_ISA {

template <class T>
struct Simd {
  static constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));
  typedef T Vector __attribute__((vector_size(kVectorBytes)));
  typedef T Unaligned __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
};

template <class T>
inline constexpr int kTileColumns = kTileVectors* Simd<T>::kLanes;

// A as the tile reads it, step by step of the sum: element(r) is that of row r at the present step.
// Columns: the rows of one step lie side by side, `step` elements from one step to the next. This is what
// packing makes (step kTileRows), and what a matrix that is to be transposed already is.
template <class T>
struct TileColumns {
  const T* at;
  std::int64_t step;
  T element(int row) const { return at[row]; }
  void advance() { at += step; }
};

// Rows: an ordinary row-major matrix with `stride` elements from row to row, read where it lies. One pointer
// for three rows: with a pointer each, the registers of addresses would run out.
template <class T, int Rows>
struct TileRows {
  const T* at[(Rows + 2) / 3];
  std::int64_t stride;
  TileRows(const T* first, std::int64_t row_stride) : stride(row_stride) {
    for (int i = 0; i < (Rows + 2) / 3; ++i) at[i] = first + 3 * i * stride;
  }
  T element(int row) const { return at[row / 3][row % 3 * stride]; }
  void advance() {
    for (const T*& pointer : at) ++pointer;
  }
};

// One panel of B: kTileColumns side by side, `step` elements from one step of the sum to the next.
template <class T>
struct TileB {
  const T* at;
  std::int64_t step;
};

// Memory that will be read soon: a cache line of it is fetched with every step of the sum.
struct FetchAhead {
  const char* at;
  void fetch() {
    __builtin_prefetch(at, 0, 2);
    at += 64;
  }
};
struct FetchNothing {
  void fetch() {}
};

// Where a tile of C goes: rows[r][column...], of which `height` and `width` are stored.
template <class T>
struct TileC {
  T* const* rows;
  std::int64_t column;
  int height, width;
  bool accumulate;
};

// c (+)= sum over `depth` steps of a[r] * b[..].
template <class T, int Rows, int Vectors, class A, class Ahead>
[[gnu::noinline]] void multiply_tile(std::int64_t depth, A a, TileB<T> b, const TileC<T>& c, Ahead ahead) {
  using Vector = typename Simd<T>::Vector;
  using Unaligned = typename Simd<T>::Unaligned;
  constexpr int kLanes = Simd<T>::kLanes;
  // C is written at the end: fetching its lines now hides the wait.
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
    if (r < c.height)
      for (int v = 0; v < Vectors; ++v) __builtin_prefetch(c.rows[r] + c.column + v * kLanes, 1);
  Vector sum[Rows][Vectors] = {};
  for (std::int64_t k = 0; k < depth; ++k) {
    Vector bk[Vectors];
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) bk[v] = *reinterpret_cast<const Unaligned*>(b.at + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sum[r][v] += a.element(r) * bk[v];
    ahead.fetch();
    a.advance();
    b.at += b.step;
  }
  if (c.height == Rows && c.width == Vectors * kLanes) {
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) {
        auto* out = reinterpret_cast<Unaligned*>(c.rows[r] + c.column + v * kLanes);
        *out = c.accumulate ? *out + sum[r][v] : sum[r][v];
      }
    return;
  }
  alignas(kVectorBytes) T edge[Rows][Vectors * kLanes];
#pragma GCC unroll 16
  for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) *reinterpret_cast<Vector*>(edge[r] + v * kLanes) = sum[r][v];
  for (int r = 0; r < c.height; ++r)
    for (int j = 0; j < c.width; ++j) {
      T& out = c.rows[r][c.column + j];
      out = c.accumulate ? out + edge[r][j] : edge[r][j];
    }
}

// Calls f.operator()<Rows, Vectors>() with the smallest tile that covers height x width, so that the edges of
// a matrix cost what they are.
template <class T, class F>
void with_tile(int height, int width, const F& f) {
  constexpr int kLanes = Simd<T>::kLanes;
  const auto with_rows = [&]<int Vectors>() {
    if (kTileRows > 4 && height <= 4)
      f.template operator()<4, Vectors>();
    else if (kTileRows > 8 && height <= 8)
      f.template operator()<std::min(8, kTileRows), Vectors>();
    else
      f.template operator()<kTileRows, Vectors>();
  };
  if (width <= kLanes)
    with_rows.template operator()<1>();
  else if (kTileVectors > 2 && width <= 2 * kLanes)
    with_rows.template operator()<2>();
  else
    with_rows.template operator()<kTileVectors>();
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
