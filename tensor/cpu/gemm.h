// The one driver of all matrix products: C (+)= A B, after Goto and van de Geijn, "Anatomy of
// high-performance matrix multiplication" (2008). linear, convolution, its two gradients and attention differ
// only in the sources they pack (gemm_pack.h), in where the rows of C lie, and in the epilogue that sees a
// finished block while it is in the cache. C is cut into blocks, each computed by one thread; the summed axis
// is split only where C has too few blocks, with a fixed order of additions. Invariant: how a sum is split
// depends on the extents only (how C is cut into blocks may depend on the number of threads), so the result
// does not depend on threads. Bound by the FMA units: the linear layers of ViT-B/16 reach 85 to 97 % of their
// peak, but for one gradient (77 %); packing takes 3 to 6 % of the time.
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>

#include "tensor/cpu/allocator.h"
#include "tensor/cpu/gemm_pack.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/weight_panels.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

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
inline constexpr std::int64_t kColumnUnit = 96;  // whole panels of every instruction set and dtype
inline constexpr std::int64_t kBlockColumns = 6 * kColumnUnit;
// Columns that an epilogue finishes at a time, kPackedRows rows of them: few enough that they still lie in
// the L2 cache, enough to repay the start of a loop over one row. A block that is
// no wider than twice that is finished in whole rows.
template <class T>
inline constexpr std::int64_t kFinishedColumns = 8 * kTileColumns<T>;
template <class T>
constexpr std::int64_t packed_columns(std::int64_t columns) {
  return round_up(columns, static_cast<std::int64_t>(kTileColumns<T>));
}

// The sum is taken in steps of at most `longest` terms, all of nearly the same length.
struct DepthSteps {
  std::int64_t begin, end, count;
  DepthSteps(std::int64_t first, std::int64_t last, std::int64_t longest = kMaxDepth)
      : begin(first), end(last), count(ceil_div(last - first, longest)) {}
  std::int64_t at(std::int64_t step) const { return begin + (end - begin) * step / count; }
};

// What a block will read next, up to two stretches of memory, handed to its tiles line by line: memory is
// read while the FMA units work.
class Ahead {
 public:
  template <class T>
  void add(const T* begin, std::int64_t count) {
    second_ = first_;
    first_ = {reinterpret_cast<const char*>(begin), count * static_cast<std::int64_t>(sizeof(T))};
  }
  // Calls f(what a tile of `depth` steps is to fetch).
  template <class F>
  void take(std::int64_t depth, const F& f) {
    constexpr std::int64_t kLine = 64;
    if (first_.bytes <= 0) first_ = std::exchange(second_, {});
    if (first_.bytes <= 0) return f(FetchNothing());
    const FetchAhead ahead{first_.at};
    first_.at += depth * kLine;
    first_.bytes -= depth * kLine;
    f(ahead);
  }

 private:
  struct Stretch {
    const char* at = nullptr;
    std::int64_t bytes = 0;
  };
  Stretch first_, second_;
};

// Packing an operand costs as much as a few FMAs per element: where C is so narrow (or so low) that an
// element is used less often than this, the tile reads it where it lies.
inline constexpr std::int64_t kWorthPacking = 192;

template <class T>
inline constexpr bool kLiesInRows = false;
template <class T>
inline constexpr bool kLiesInRows<AlongRows<Matrix<T>>> = true;
template <class T>
inline constexpr bool kLiesInColumns = false;
template <class T>
inline constexpr bool kLiesInColumns<AlongColumns<Matrix<T>>> = true;

// The rows [row, row + count) of A for `depth` steps of the sum from k0, as tiles read them: in place or from
// the panels in `packed`.
template <class T, class A>
class LeftOperand {
 public:
  LeftOperand(const A& a, std::int64_t row, std::int64_t count, std::int64_t k0, std::int64_t depth,
              std::int64_t uses, T* packed)
      : a_(a), row_(row), k0_(k0), depth_(depth), packed_(packed) {
    // A tile reads kTileRows in any case, so what is left over at the end is packed.
    const bool in_place = (kLiesInRows<A> || kLiesInColumns<A>)&&uses < kWorthPacking;
    in_place_ = in_place ? count / kTileRows * kTileRows : 0;
    pack<kTileRows>(a, row + in_place_, count - in_place_, k0, depth, packed + in_place_ * depth);
  }

  // Calls f(operand of the tile) for the rows from row + i.
  template <int Rows, class F>
  void tile(std::int64_t i, const F& f) const {
    if constexpr (kLiesInRows<A>) {
      if (i < in_place_) return f(TileRows<T, Rows>(a_.source.at(row_ + i) + k0_, a_.source.stride));
    } else if constexpr (kLiesInColumns<A>) {
      if (i < in_place_) return f(TileColumns<T>{a_.source.at(k0_) + row_ + i, a_.source.stride});
    }
    f(TileColumns<T>{packed_ + i * depth_, kTileRows});
  }

 private:
  const A& a_;
  std::int64_t row_, k0_, depth_;
  T* packed_;
  std::int64_t in_place_;  // rows that are not packed
};

// Adds rows [row, row + count), elements [k0, k0 + depth), of a matrix that lies in memory without gaps.
template <class T>
void read_ahead(Ahead& ahead, const Matrix<T>& matrix, std::int64_t row, std::int64_t count, std::int64_t k0,
                std::int64_t depth) {
  if (count > 0 && depth == matrix.stride && k0 == 0) ahead.add(matrix.at(row), count * depth);
}

// The columns of a block of B for one step of the sum: `panels` packed, of which the first `in_place` columns
// lie at `matrix`, `stride` elements from step to step, instead.
template <class T>
struct RightOperand {
  const T* panels;
  std::int64_t depth;
  const T* matrix = nullptr;
  std::int64_t stride = 0, in_place = 0;
  TileB<T> tile(std::int64_t j) const {
    if (j < in_place) return {matrix + j, stride};
    return {panels + j * depth, kTileColumns<T>};
  }
};

// B packed once for all blocks of C: step after step, panel after panel.
template <class T>
struct SharedPanels {
  const T* data;
  std::int64_t columns;  // of B, padded to whole panels
  static std::int64_t longest_step(std::int64_t, std::int64_t) { return kMaxDepth; }
  void read_ahead(Ahead&, std::int64_t, std::int64_t, std::int64_t, std::int64_t) const {}
  RightOperand<T> operand(const Block& block, std::int64_t k0, std::int64_t depth, T*) const {
    return {data + k0 * columns + block.column_begin * depth, depth};
  }
};

// B read where it lies, or packed into its scratch by the thread that needs it.
template <class T, class B>
struct OwnPanels {
  const B& b;
  // What one step reads of A and B stays in the L2 cache.
  static std::int64_t longest_step(std::int64_t rows, std::int64_t columns) {
    return std::clamp<std::int64_t>(
        (std::int64_t{3} << 17) / static_cast<std::int64_t>(sizeof(T)) / (rows + columns), 128, kMaxDepth);
  }
  void read_ahead(Ahead& ahead, std::int64_t k0, std::int64_t depth, std::int64_t column,
                  std::int64_t columns) const {
    if constexpr (kLiesInColumns<B>) cpu::read_ahead(ahead, b.source, k0, depth, column, columns);
  }
  RightOperand<T> operand(const Block& block, std::int64_t k0, std::int64_t depth, T* scratch) const {
    const std::int64_t columns = block.column_end - block.column_begin;
    RightOperand<T> operand{scratch, depth};
    if constexpr (kLiesInColumns<B>) {
      operand.matrix = b.source.at(k0) + block.column_begin;
      operand.stride = b.source.stride;
      if (block.row_end - block.row_begin < kWorthPacking)
        operand.in_place = columns / kTileColumns<T> * kTileColumns<T>;
    }
    pack<kTileColumns<T>>(b, block.column_begin + operand.in_place, columns - operand.in_place, k0, depth,
                          scratch + operand.in_place * depth);
    return operand;
  }
};

// Scratch elements that multiply_block needs, a multiple of the vector.
template <class T>
constexpr std::int64_t block_scratch() {
  return (kPackedRows + packed_columns<T>(kBlockColumns)) * kMaxDepth;
}

// Rows [0, rows) and columns [j, j + width) of C, where width is that of one panel at most: calls
// f.operator()<Rows, Vectors>(i, tile) for every tile, from row i.
template <class T, class F>
void for_tiles(T* const* c_rows, std::int64_t rows, std::int64_t column, std::int64_t width, bool accumulate,
               const F& f) {
  for (std::int64_t i = 0; i < rows; i += kTileRows) {
    const int height = static_cast<int>(std::min<std::int64_t>(kTileRows, rows - i));
    const TileC<T> tile{c_rows + i, column, height, static_cast<int>(width), accumulate};
    with_tile<T>(height, tile.width,
                 [&]<int Rows, int Vectors>() { f.template operator()<Rows, Vectors>(i, tile); });
  }
}

// One block of C on one thread: c[rows][columns] (+)= the terms [k_begin, k_end) of the sum. The block has at
// most kBlockRows rows and, with OwnPanels, kBlockColumns columns. epilogue(part) runs once for every
// finished part of the block, which is then in the cache.
template <class T, class A, class Panels, class Rows, class Epilogue = NoEpilogue>
void multiply_block(const Block& block, std::int64_t k_begin, std::int64_t k_end, const A& a, const Panels& b,
                    const Rows& c, bool accumulate, T* scratch, const Epilogue& epilogue = {}) {
  const std::int64_t rows = block.row_end - block.row_begin, columns = block.column_end - block.column_begin;
  T* const packed_a = scratch;
  if (k_begin == k_end) {
    if (!accumulate)
      for (std::int64_t r = block.row_begin; r < block.row_end; ++r)
        std::fill_n(c.at(r) + block.column_begin, columns, T(0));
    epilogue(block);
  }
  const DepthSteps steps(k_begin, k_end, Panels::longest_step(rows, columns));
  for (std::int64_t step = 0; step < steps.count; ++step) {
    const std::int64_t k0 = steps.at(step), depth = steps.at(step + 1) - k0;
    const RightOperand<T> right = b.operand(block, k0, depth, scratch + kPackedRows * kMaxDepth);
    Ahead ahead;
    if constexpr (kLiesInColumns<A>)
      if (step + 1 < steps.count) {
        const std::int64_t next = steps.at(step + 1), count = steps.at(step + 2) - next;
        read_ahead(ahead, a.source, next, count, block.row_begin, rows);
        b.read_ahead(ahead, next, count, block.column_begin, columns);
      }
    for (std::int64_t i0 = 0; i0 < rows; i0 += kPackedRows) {
      const std::int64_t count = std::min(kPackedRows, rows - i0);
      if constexpr (kLiesInRows<A>) {
        ahead = {};
        if (i0 + count < rows)
          read_ahead(ahead, a.source, block.row_begin + i0 + count, std::min(kPackedRows, rows - i0 - count),
                     k0, depth);
      }
      const LeftOperand<T, A> left(a, block.row_begin + i0, count, k0, depth, columns, packed_a);
      T* c_rows[kPackedRows];
      for (std::int64_t r = 0; r < count; ++r) c_rows[r] = c.at(block.row_begin + i0 + r);
      const std::int64_t finished = columns <= 2 * kFinishedColumns<T> ? columns : kFinishedColumns<T>;
      for (std::int64_t j0 = 0; j0 < columns; j0 += finished) {
        const std::int64_t end = std::min(columns, j0 + finished);
        for (std::int64_t j = j0; j < end; j += kTileColumns<T>) {
          const std::int64_t width = std::min<std::int64_t>(kTileColumns<T>, end - j);
          for_tiles<T>(c_rows, count, block.column_begin + j, width, accumulate || step > 0,
                       [&]<int Height, int Vectors>(std::int64_t i, const TileC<T>& tile) {
                         left.template tile<Height>(i, [&](const auto& operand) {
                           ahead.take(depth, [&](const auto& fetch) {
                             multiply_tile<T, Height, Vectors>(depth, operand, right.tile(j), tile, fetch);
                           });
                         });
                       });
        }
        if (step + 1 == steps.count)
          epilogue(Block{block.row_begin + i0, block.row_begin + i0 + count, block.column_begin + j0,
                         block.column_begin + end});
      }
    }
  }
}

// How C is cut: block extents, blocks per axis, and parts of the sum. The parts depend on the extents only.
struct GemmPlan {
  std::int64_t block_rows, block_columns, row_blocks, column_blocks, splits;
  bool share_panels;  // B is packed once, before all blocks
};
GemmPlan plan_gemm(const GemmExtents& extents);

// Packs all of B for SharedPanels.
template <class T, class B>
void pack_shared(const GemmExtents& extents, const B& b, T* out) {
  const DepthSteps steps(0, extents.k);
  const std::int64_t padded = packed_columns<T>(extents.n), group = 4 * kTileColumns<T>;
  const std::int64_t groups = ceil_div(extents.n, group);
  parallel_tasks(steps.count * groups, [&](std::int64_t task, int) {
    const std::int64_t step = task / groups, j = task % groups * group;
    const std::int64_t k0 = steps.at(step), depth = steps.at(step + 1) - k0;
    pack<kTileColumns<T>>(b, j, std::min(group, extents.n - j), k0, depth, out + k0 * padded + j * depth);
  });
}

// C (+)= A B on all threads. epilogue(block) runs once for every finished part of C, on the thread that
// computed it. `weight`: the tensor whose rows are the columns of B, if it is one.
template <class T, class A, class B, class Rows, class Epilogue = NoEpilogue>
void multiply(CachingAllocator& allocator, const GemmExtents& extents, const A& a, const B& b, const Rows& c,
              bool accumulate, const Epilogue& epilogue = {}, const Tensor* weight = nullptr) {
  const GemmPlan plan = plan_gemm(extents);
  const std::int64_t blocks = plan.row_blocks * plan.column_blocks, m = extents.m, n = extents.n;
  const auto block_at = [&](std::int64_t index) {
    const std::int64_t i = index / plan.column_blocks * plan.block_rows;
    const std::int64_t j = index % plan.column_blocks * plan.block_columns;
    return Block{i, std::min(m, i + plan.block_rows), j, std::min(n, j + plan.block_columns)};
  };
  if (plan.share_panels) {
    const std::int64_t padded = packed_columns<T>(n);
    const WeightPanels<T> shared(allocator, weight, WeightForm::panels, extents.k, n, padded * extents.k,
                                 [&](T* to) { pack_shared<T>(extents, b, to); });
    const SharedPanels<T> panels{shared.data(), padded};
    const ThreadScratch<T> scratch(allocator, block_scratch<T>());
    parallel_tasks(blocks, [&](std::int64_t task, int thread) {
      multiply_block(block_at(task), 0, extents.k, a, panels, c, accumulate, scratch.of(thread), epilogue);
    });
    return;
  }
  using Panels = OwnPanels<T, B>;
  const Panels panels{b};
  const Scratch<T> partial(allocator, plan.splits > 1 ? plan.splits * m * n : 0);
  const ThreadScratch<T> scratch(allocator, block_scratch<T>());
  parallel_tasks(blocks * plan.splits, [&](std::int64_t task, int thread) {
    const Block block = block_at(task % blocks);
    const std::int64_t split = task / blocks;
    const std::int64_t k_begin = extents.k * split / plan.splits,
                       k_end = extents.k * (split + 1) / plan.splits;
    if (plan.splits > 1) {
      const OutputRows<T> part{partial.data() + split * m * n, n};
      multiply_block(block, k_begin, k_end, a, panels, part, false, scratch.of(thread));
    } else {
      multiply_block(block, k_begin, k_end, a, panels, c, accumulate, scratch.of(thread), epilogue);
    }
  });
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

}  // namespace sagitta::cpu::inline SAGITTA_ISA
