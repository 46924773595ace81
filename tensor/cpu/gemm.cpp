#include "tensor/cpu/gemm.h"

#include <limits>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/dispatch.h"
#include "tensor/cpu/fast_math.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

namespace {

constexpr std::int64_t kEnoughTasks = 16;      // for a handful of threads to share evenly
constexpr std::int64_t kSmallestSplit = 1536;  // terms of a sum that are worth adding up apart
constexpr std::int64_t kSmallestBlock = 192;   // rows or columns of C whose packed operands pay
// With so many blocks of that size, C alone makes tasks enough.
constexpr std::int64_t kEnoughBlocks = 32;
constexpr std::int64_t kPartialElements = std::int64_t{1} << 21;
constexpr std::int64_t kSerialWork =
    100000;  // multiplications that one thread finishes before others wake up

// Extent of one of `count` nearly equal parts of `extent`, a multiple of `unit`; never 0.
std::int64_t part(std::int64_t extent, std::int64_t count, std::int64_t unit) {
  return std::max(unit, round_up(ceil_div(extent, std::max<std::int64_t>(1, count)), unit));
}

// Of a product with shared panels, per term of the sum, in the time of one multiplication of a tile. Packing
// an element of A costs as much as kPackCost of them, waiting for it kColdCost (what a task reads first has
// not been fetched ahead), moving one of B from the L2 to the L1 cache kPanelCost. Tasks are taken in turn,
// so that at the end a thread waits for half a task on average.
double estimated_time(const GemmPlan& plan) {
  constexpr std::int64_t kPackCost = 14, kColdCost = 20, kPanelCost = 4;
  const std::int64_t rows = plan.block_rows, columns = plan.block_columns;
  const double task =
      static_cast<double>(rows * (columns + kPackCost) + std::min(rows, kPackedRows) * kColdCost +
                          kPanelCost * columns * ceil_div(rows, kPackedRows));
  const std::int64_t tasks = plan.row_blocks * plan.column_blocks, threads = ThreadPool::instance().size();
  return std::max(
      task * static_cast<double>(ceil_div(tasks, threads)),
      task * (static_cast<double>(tasks) / static_cast<double>(threads) + (threads > 1 ? 0.5 : 0)));
}

}  // namespace

GemmPlan plan_gemm(const GemmExtents& extents) {
  const std::int64_t m = extents.m, n = extents.n, k = extents.k;
  GemmPlan plan{};
  plan.splits = 1;
  std::int64_t blocks = 0;
  const auto cut = [&](std::int64_t rows, std::int64_t columns) {
    plan.block_rows = part(m, ceil_div(m, rows), kTileRows);
    plan.block_columns = part(n, ceil_div(n, columns), kColumnUnit);
    plan.row_blocks = ceil_div(m, plan.block_rows);
    plan.column_blocks = ceil_div(n, plan.block_columns);
    blocks = plan.row_blocks * plan.column_blocks;
  };
  cut(kBlockRows, kBlockColumns);
  if (m * n * k < kSerialWork || blocks == 0) return plan;
  // A long sum over a small C (the gradient of a weight) is split, and C cut finer where that is not enough.
  const std::int64_t smallest_blocks = ceil_div(m, kSmallestBlock) * ceil_div(n, kSmallestBlock);
  if (blocks < kEnoughTasks && smallest_blocks < kEnoughBlocks && k >= 2 * kSmallestSplit) {
    for (std::int64_t rows = plan.block_rows, columns = plan.block_columns;; cut(rows, columns)) {
      plan.splits = std::min({ceil_div(kEnoughTasks, blocks), k / kSmallestSplit,
                              std::max<std::int64_t>(1, kPartialElements / (m * n))});
      if (blocks * plan.splits >= kEnoughTasks / 2) return plan;
      std::int64_t& longer = rows > columns ? rows : columns;
      if (longer < 2 * kSmallestBlock) break;
      longer = ceil_div(longer, 2);
    }
    plan.splits = 1;
  }
  // Otherwise all blocks share the panels of B, and how C is cut does not show in the result: the cut with
  // the shortest estimated time for this many threads.
  plan.share_panels = true;
  double best = std::numeric_limits<double>::infinity();
  GemmPlan chosen = plan;
  for (std::int64_t rows = 2 * kTileRows; rows <= kBlockRows; rows += kTileRows)
    for (const std::int64_t parts : {1, 2, 3, 4, 6, 8, 12, 16}) {
      cut(rows, std::max(kColumnUnit, ceil_div(n, parts)));
      const double time = estimated_time(plan);
      if (time < best) best = time, chosen = plan;
    }
  plan = chosen;
  return plan;
}

namespace {

// Calls body with the operand as the tile kernel wants it: panels along the axis that C keeps.
template <class T, class Body>
void with_operand(const T* data, std::int64_t row_length, bool panels_along_columns, const Body& body) {
  if (panels_along_columns)
    body(AlongColumns<Matrix<T>>{{data, row_length}});
  else
    body(AlongRows<Matrix<T>>{{data, row_length}});
}

}  // namespace

void CpuBackend::matmul(const MatmulParams& params, const Tensor& a, const Tensor& b, const Target& y) {
  if (!y) return;
  dispatch_floating(a.dtype(), [&]<class T>(TypeTag<T>) {
    const std::int64_t m = a.shape()[params.transpose_a ? 1 : 0], k = a.shape()[params.transpose_a ? 0 : 1];
    const std::int64_t n = b.shape()[params.transpose_b ? 0 : 1];
    with_operand(a.data<T>(), a.shape()[1], params.transpose_a, [&](const auto& left) {
      with_operand(b.data<T>(), b.shape()[1], !params.transpose_b, [&](const auto& right) {
        multiply<T>(allocator_, {m, n, k}, left, right, OutputRows<T>{y.dst.data<T>(), n}, y.accumulate);
      });
    });
  });
}

void CpuBackend::linear(const LinearParams& params, const Tensor& x, const Tensor& weight, const Tensor& bias,
                        Tensor& pre, Tensor& y) {
  dispatch_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    const std::int64_t m = x.shape()[0], k = x.shape()[1], n = weight.shape()[0];
    T* out = y.data<T>();
    T* before = pre ? pre.data<T>() : out;
    const T* offsets = bias ? bias.data<T>() : nullptr;
    fast::visit(params.activation, [&](auto f) {
      const auto finish = [=](const Block& block) {
        for (std::int64_t i = block.row_begin; i < block.row_end; ++i) {
          T* row = before + i * n;
          T* activated = out + i * n;
          if (offsets != nullptr)
            for (std::int64_t j = block.column_begin; j < block.column_end; ++j) row[j] += offsets[j];
          if (f.kSaves == Saves::nothing && row == activated) continue;
#pragma omp simd
          for (std::int64_t j = block.column_begin; j < block.column_end; ++j) activated[j] = f.f(row[j]);
        }
      };
      multiply<T>(allocator_, {m, n, k}, AlongRows<Matrix<T>>{{x.data<T>(), k}},
                  AlongRows<Matrix<T>>{{weight.data<T>(), k}}, OutputRows<T>{before, n}, false, finish,
                  &weight);
    });
  });
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
