// Sums with a fixed order: chunks of a size that depends on the extents only, each added up by one thread,
// then combined in chunk order. Long sums are in double, whatever the data is; where that would make a loop
// slow, a few dozen terms are added up in the data's own type first.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "tensor/cpu/allocator.h"
#include "tensor/cpu/parallel.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

// Sum of term(i) for i in [begin, end) on one thread. In lanes by hand: a reduction the compiler leaves
// scalar.
template <class T, class Term>
T lane_sum(std::int64_t begin, std::int64_t end, const Term& term) {
  constexpr int kWidth = 256 / static_cast<int>(sizeof(T));  // four of the widest vectors
  alignas(64) T lanes[kWidth] = {};
  std::int64_t i = begin;
  for (; i + kWidth <= end; i += kWidth)
#pragma omp simd
    for (int lane = 0; lane < kWidth; ++lane) lanes[lane] += term(i + lane);
  for (int width = kWidth / 2; width > 0; width /= 2)
    for (int lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  T sum = lanes[0];
  for (; i < end; ++i) sum += term(i);
  return sum;
}

// Sum of term(i), of type T, for i in [0, n).
template <class T, class Term>
double ordered_sum(std::int64_t n, const Term& term) {
  constexpr std::int64_t kGroup = 2048;
  std::vector<double> partial(static_cast<std::size_t>(ceil_div(n, kGrain)));
  parallel_chunks(n, kGrain, [&](std::int64_t chunk, std::int64_t begin, std::int64_t end) {
    double sum = 0;
    for (std::int64_t i = begin; i < end; i += kGroup)
      sum += static_cast<double>(lane_sum<T>(i, std::min(end, i + kGroup), term));
    partial[static_cast<std::size_t>(chunk)] = sum;
  });
  double total = 0;
  for (const double part : partial) total += part;
  return total;
}

// Rows per chunk when a matrix of `columns` elements of `element_bytes` is reduced over its rows: a chunk
// fits the L2 cache, and its partial sums stay small beside it.
inline std::int64_t rows_per_chunk(std::int64_t columns, std::size_t element_bytes) {
  const std::int64_t row_bytes =
      std::max<std::int64_t>(1, columns) * static_cast<std::int64_t>(element_bytes);
  return std::max<std::int64_t>(32, (std::int64_t{1} << 18) / row_bytes);
}

// Rows whose contributions are added up in the data's type before they go to double.
inline constexpr std::int64_t kRowGroup = 32;

// Column sums of a matrix by rows: add(row, sums) adds the contribution of one row to sums[width] of type T,
// which start as zeros; finish(column, total) receives the totals.
template <class T, class Add, class Finish>
void sum_over_rows(CachingAllocator& allocator, std::int64_t rows, std::int64_t width,
                   std::int64_t chunk_rows, const Add& add, const Finish& finish) {
  const std::int64_t chunks = ceil_div(rows, chunk_rows);
  const Scratch<double> partial(allocator, chunks * width);
  const ThreadScratch<T> scratch(allocator, width);
  parallel_tasks(chunks, [&](std::int64_t task, int thread) {
    const std::int64_t chunk =
        chunks - 1 - task;  // the end of a matrix was written last: it may still be cached
    const std::int64_t end = std::min(rows, (chunk + 1) * chunk_rows);
    double* const sums = partial.data() + chunk * width;
    T* const group = scratch.of(thread);
    std::fill_n(sums, width, 0.0);
    for (std::int64_t row = chunk * chunk_rows; row < end;) {
      std::fill_n(group, width, T(0));
      for (const std::int64_t stop = std::min(end, row + kRowGroup); row < stop; ++row) add(row, group);
#pragma omp simd
      for (std::int64_t i = 0; i < width; ++i) sums[i] += static_cast<double>(group[i]);
    }
  });
  parallel_for(width, 4 * chunks, [&](std::int64_t column) {
    double total = 0;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) total += partial[chunk * width + column];
    finish(column, total);
  });
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
