// The one driver of all matrix products: C (+)= A B, after Goto and van de Geijn, "Anatomy of
// high-performance matrix multiplication" (2008). linear, convolution, its two gradients and attention differ
// only in the sources they pack (gemm_pack.h), in where the rows of C lie, and in the epilogue that sees a
// finished block while it is in the cache. C is cut into blocks, each computed by one thread; the summed axis
// is split only where C has too few blocks, with a fixed order of additions. Invariant: the cut depends on
// the extents only, so the result does not depend on threads.
#pragma once
#include <omp.h>

#include <algorithm>
#include <cstdint>

#include "tensor/cpu/allocator.h"
#include "tensor/cpu/gemm_pack.h"
#include "tensor/cpu/parallel.h"

namespace sagitta::cpu {

// C is m x n, the sum has k terms.
struct GemmExtents {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
};

// A range of rows and columns of C.
struct Block {
  std::int64_t row_begin = 0;
  std::int64_t row_end = 0;
  std::int64_t column_begin = 0;
  std::int64_t column_end = 0;
};

// Rows of C in an ordinary matrix; conv2d_backward_input has its own (every second pixel).
template <class T>
struct OutputRows {
  T* data;
  std::int64_t stride;
  T* at(std::int64_t row) const { return data + row * stride; }
};

struct NoEpilogue {
  void operator()(const Block&) const {}
};

inline constexpr std::int64_t kPackedRows =
    10 * kTileRows;  // rows of A packed at a time: they stay in the L2 cache
inline constexpr std::int64_t kBlockRows = 8 * kPackedRows;
inline constexpr std::int64_t kBlockColumns = 512;
template <class T>
inline constexpr std::int64_t kPackedColumns = round_up(kBlockColumns, kTileColumns<T>);

// Scratch elements that multiply_block needs, a multiple of the vector.
template <class T>
constexpr std::int64_t block_scratch() {
  return (kPackedRows + kPackedColumns<T>)*kMaxDepth;
}

// One block of C on one thread: c[rows][columns] (+)= the terms [k_begin, k_end) of the sum. The block has at
// most kBlockRows rows and kBlockColumns columns.
template <class T, class A, class B, class Rows>
void multiply_block(const Block& block, std::int64_t k_begin, std::int64_t k_end, const A& a, const B& b,
                    const Rows& c, bool accumulate, T* scratch) {
  const std::int64_t rows = block.row_end - block.row_begin, columns = block.column_end - block.column_begin;
  T* packed_a = scratch;
  T* packed_b = packed_a + kPackedRows * kMaxDepth;
  if (k_begin == k_end && !accumulate)
    for (std::int64_t r = block.row_begin; r < block.row_end; ++r)
      std::fill_n(c.at(r) + block.column_begin, columns, T(0));

  const std::int64_t steps = ceil_div(k_end - k_begin, kMaxDepth);
  for (std::int64_t step = 0; step < steps; ++step) {
    const std::int64_t k0 = k_begin + (k_end - k_begin) * step / steps;
    const std::int64_t depth = k_begin + (k_end - k_begin) * (step + 1) / steps - k0;
    pack<kTileColumns<T>>(b, block.column_begin, columns, k0, depth, packed_b);
    for (std::int64_t i0 = 0; i0 < rows; i0 += kPackedRows) {
      const std::int64_t count = std::min(kPackedRows, rows - i0);
      pack<kTileRows>(a, block.row_begin + i0, count, k0, depth, packed_a);
      T* c_rows[kPackedRows];
      for (std::int64_t r = 0; r < count; ++r) c_rows[r] = c.at(block.row_begin + i0 + r);
      for (std::int64_t j = 0; j < columns; j += kTileColumns<T>)
        for (std::int64_t i = 0; i < count; i += kTileRows)
          multiply_tile<T>(
              depth, packed_a + i * depth, packed_b + j * depth, c_rows + i, block.column_begin + j,
              static_cast<int>(std::min<std::int64_t>(kTileRows, count - i)),
              static_cast<int>(std::min<std::int64_t>(kTileColumns<T>, columns - j)), accumulate || step > 0);
    }
  }
}

// One scratch of `count` elements per thread, allocated before the parallel region so that a lack of memory
// can throw.
template <class T>
class ThreadScratch {
 public:
  ThreadScratch(CachingAllocator& allocator, std::int64_t count)
      : count_(round_up(count, 64)), all_(allocator, count_ * omp_get_max_threads()) {}
  T* mine() const { return all_.data() + count_ * omp_get_thread_num(); }

 private:
  std::int64_t count_;
  Scratch<T> all_;
};

// How C is cut: block extents, blocks per axis, and parts of the sum. Depends on the extents only.
struct GemmPlan {
  std::int64_t block_rows, block_columns, row_blocks, column_blocks, splits;
};
GemmPlan plan_gemm(const GemmExtents& extents);

// C (+)= A B on all threads. epilogue(block) runs once per finished block, on the thread that computed it.
template <class T, class A, class B, class Rows, class Epilogue = NoEpilogue>
void multiply(CachingAllocator& allocator, const GemmExtents& extents, const A& a, const B& b, const Rows& c,
              bool accumulate, const Epilogue& epilogue = {}) {
  const GemmPlan plan = plan_gemm(extents);
  const std::int64_t blocks = plan.row_blocks * plan.column_blocks, m = extents.m, n = extents.n;
  const auto block_at = [&](std::int64_t index) {
    const std::int64_t i = index / plan.column_blocks * plan.block_rows;
    const std::int64_t j = index % plan.column_blocks * plan.block_columns;
    return Block{i, std::min(m, i + plan.block_rows), j, std::min(n, j + plan.block_columns)};
  };
  const Scratch<T> partial(allocator, plan.splits > 1 ? plan.splits * m * n : 0);
  const ThreadScratch<T> scratch(allocator, block_scratch<T>());
#pragma omp parallel for schedule(dynamic) if (blocks * plan.splits > 1)
  for (std::int64_t task = 0; task < blocks * plan.splits; ++task) {
    const Block block = block_at(task % blocks);
    const std::int64_t split = task / blocks;
    const std::int64_t k_begin = extents.k * split / plan.splits,
                       k_end = extents.k * (split + 1) / plan.splits;
    if (plan.splits > 1) {
      const OutputRows<T> part{partial.data() + split * m * n, n};
      multiply_block(block, k_begin, k_end, a, b, part, false, scratch.mine());
    } else {
      multiply_block(block, k_begin, k_end, a, b, c, accumulate, scratch.mine());
      epilogue(block);
    }
  }
  if (plan.splits == 1) return;
  parallel_for(m, n * plan.splits, [&](std::int64_t i) {
    T* out = c.at(i);
    if (!accumulate) std::fill_n(out, n, T(0));
    for (std::int64_t split = 0; split < plan.splits; ++split) {
      const T* part = partial.data() + (split * m + i) * n;
      for (std::int64_t j = 0; j < n; ++j) out[j] += part[j];
    }
    epilogue(Block{i, i + 1, 0, n});
  });
}

}  // namespace sagitta::cpu
