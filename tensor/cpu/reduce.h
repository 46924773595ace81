// Sums with a fixed order: chunks of a size that depends on the extents only, each added up in double by one
// thread, then combined in chunk order. f64 and f32 data alike accumulate in double.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "tensor/cpu/allocator.h"
#include "tensor/cpu/parallel.h"

namespace sagitta::cpu {

// Sum of term(i) for i in [0, n).
template <class Term>
double ordered_sum(std::int64_t n, const Term& term) {
  std::vector<double> partial(static_cast<std::size_t>(ceil_div(n, kGrain)));
  parallel_chunks(n, kGrain, [&](std::int64_t chunk, std::int64_t begin, std::int64_t end) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = begin; i < end; ++i) sum += static_cast<double>(term(i));
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

// Column sums of a matrix by rows: add(row, sums) adds the contribution of one row to sums[width], which
// starts as zeros; finish(column, total) receives the totals.
template <class Add, class Finish>
void sum_over_rows(CachingAllocator& allocator, std::int64_t rows, std::int64_t width,
                   std::int64_t chunk_rows, const Add& add, const Finish& finish) {
  const std::int64_t chunks = ceil_div(rows, chunk_rows);
  const Scratch<double> partial(allocator, chunks * width);
  parallel_chunks(rows, chunk_rows, [&](std::int64_t chunk, std::int64_t begin, std::int64_t end) {
    double* sums = partial.data() + chunk * width;
    std::fill_n(sums, width, 0.0);
    for (std::int64_t row = begin; row < end; ++row) add(row, sums);
  });
  parallel_for(width, 4 * chunks, [&](std::int64_t column) {
    double total = 0;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) total += partial[chunk * width + column];
    finish(column, total);
  });
}

}  // namespace sagitta::cpu
