// Packing: how an operand of a matrix product is copied into the panels that the tile kernel reads.
// A *source* is a matrix by rows that need not exist in memory: it answers run(position, column, limit) with
// the longest contiguous stretch of that row. A plain matrix answers with the rest of the row; a convolution
// answers with pixels of the image or with zeros for the padding (Patches in conv.cpp), so no im2col buffer
// is ever made. Bound by memory, mostly by its latency; 3 to 6 % of a product's time.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "tensor/cpu/gemm_kernel.h"
#include "tensor/cpu/transpose.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

// The largest depth (extent of the summed axis) that is packed at a time.
inline constexpr std::int64_t kMaxDepth = 1024;

template <class T>
inline constexpr T kZeros[kMaxDepth] = {};

// A stretch of `length` contiguous elements of a source's row.
template <class T>
struct Run {
  const T* data;
  std::int64_t length;
};

// The plain source: a row-major matrix with `stride` elements from row to row.
template <class T>
struct Matrix {
  const T* data;
  std::int64_t stride;

  using Element = T;
  using Position = const T*;  // a row
  using Column = std::int64_t;
  Position at(std::int64_t row) const { return data + row * stride; }
  void advance(Position& position) const { position += stride; }
  Column column(std::int64_t index) const { return index; }
  Run<T> run(Position position, Column column, std::int64_t limit) const {
    return {position + column, limit};
  }
};

// Says that the panels run along the rows (columns) of the source and the sum along its columns (rows).
template <class Source>
struct AlongRows {
  Source source;
};
template <class Source>
struct AlongColumns {
  Source source;
};

// Packs `count` panel elements from `begin` and `depth` summed elements from k0 into panels [depth][Width];
// the last panel is filled up with zeros.
template <int Width, class Source, class T = typename Source::Element>
void pack(const AlongRows<Source>& operand, std::int64_t begin, std::int64_t count, std::int64_t k0,
          std::int64_t depth, T* out) {
  const Source& source = operand.source;
  auto position = source.at(begin);
  for (std::int64_t p = 0; p < count; p += Width, out += Width * depth) {
    const int width = static_cast<int>(std::min<std::int64_t>(Width, count - p));
    typename Source::Position rows[Width];
    for (int r = 0; r < width; ++r, source.advance(position)) rows[r] = position;
    for (std::int64_t k = 0; k < depth;) {
      const auto column = source.column(k0 + k);
      const T* from[Width];
      std::int64_t length = depth - k;
      for (int r = 0; r < width; ++r) {
        const Run<T> run = source.run(rows[r], column, length);
        from[r] = run.data;
        length = run.length;
      }
      std::fill(from + width, from + Width, kZeros<T>);
      transpose_rows<Width>(from, length, out + k * Width);
      k += length;
    }
  }
}

// Steps of the sum that are copied together: their rows stay in the L1 cache from panel to panel, so that
// every line of the source is fetched once.
inline constexpr int kRowsTogether = 16;

template <int Width, class Source, class T = typename Source::Element>
void pack(const AlongColumns<Source>& operand, std::int64_t begin, std::int64_t count, std::int64_t k0,
          std::int64_t depth, T* out) {
  const Source& source = operand.source;
  auto position = source.at(k0);
  for (std::int64_t k = 0; k < depth; k += kRowsTogether) {
    const int together = static_cast<int>(std::min<std::int64_t>(kRowsTogether, depth - k));
    typename Source::Position rows[kRowsTogether];
    for (int r = 0; r < together; ++r, source.advance(position)) rows[r] = position;
    for (std::int64_t p = 0; p < count; p += Width) {
      const std::int64_t width = std::min<std::int64_t>(Width, count - p);
      const auto first = source.column(begin + p);
      T* to = out + p * depth + k * Width;
      for (int r = 0; r < together; ++r, to += Width) {
        const Run<T> whole = source.run(rows[r], first, width);
        if (whole.length == Width) {
          std::memcpy(to, whole.data, Width * sizeof(T));
          continue;
        }
        std::copy_n(whole.data, whole.length, to);
        for (std::int64_t done = whole.length; done < width;) {
          const Run<T> run = source.run(rows[r], source.column(begin + p + done), width - done);
          std::copy_n(run.data, run.length, to + done);
          done += run.length;
        }
        std::fill(to + width, to + Width, T(0));
      }
    }
  }
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
