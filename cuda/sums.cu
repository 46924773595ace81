// Sums: of a whole tensor, of its squares, and of the columns of a matrix. Bound by memory bandwidth.
// All have two stages, because only the end of a kernel makes the blocks of a grid wait for each other: every
// block leaves a partial sum in memory, then a small kernel adds those up. How the work is cut depends on the
// shape alone and no atomics are used, so the order of additions is fixed.
#include <algorithm>

#include "cuda/column_tiles.cuh"
#include "cuda/cuda_backend.h"
#include "cuda/launch.h"
#include "cuda/reduce.cuh"
#include "cuda/target.cuh"

namespace sagitta::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kFlight = 4;  // packs that a thread has under way
// At most: all run at the same time, and have 64 KB of loads under way on each multiprocessor.
constexpr std::int64_t kBlocks = 4 * kMultiprocessors;

struct Itself {
  __device__ float operator()(float x) const { return x; }
};
struct Square {
  __device__ float operator()(float x) const { return x * x; }
};

// partial[block] = sum of term(x) over the block's share of x [n].
// In each round a block takes kFlight * kThreads neighboring packs, thread t those at t, t + kThreads, ...;
// the next round is one grid further. Every slot of a pack has an accumulator of its own, so a chain of
// additions is short (160 for 86 million floats) and rounding stays near that of pairwise summation. Reads
// each element once.
template <class Term, class T>
__global__ void __launch_bounds__(kThreads)
    partial_sum_kernel(Term term, const T* x, std::int64_t n, bool packed, float* partial) {
  constexpr int kSize = kPackSize<T>;
  constexpr std::int64_t kRound = std::int64_t{kFlight} * kThreads * kSize;
  float sums[kSize] = {};
  for (std::int64_t round = blockIdx.x * kRound; round < n; round += gridDim.x * kRound) {
    float values[kFlight][kSize];
#pragma unroll
    for (int j = 0; j < kFlight; ++j) {
      const std::int64_t at = round + (j * kThreads + static_cast<int>(threadIdx.x)) * kSize;
      load_floats(x + at, n - at, packed, values[j]);
    }
#pragma unroll
    for (int j = 0; j < kFlight; ++j)
#pragma unroll
      for (int i = 0; i < kSize; ++i) sums[i] += term(values[j][i]);
  }
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kSize; ++i) sum += sums[i];
  sum = block_sum<kThreads>(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// y[0] = sum of partial [count]. One block; reads a few kilobytes.
template <class T>
__global__ void __launch_bounds__(kThreads) total_kernel(const float* partial, int count, T* y) {
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) sum += partial[i];
  sum = block_sum<kThreads>(sum);
  if (threadIdx.x == 0) *y = from_float<T>(sum);
}

int blocks_for(const Tensor& x) {
  const auto round = static_cast<std::int64_t>(kFlight * kThreads * 16 / size_of(x.dtype()));
  return static_cast<int>(std::clamp<std::int64_t>(ceil_div(x.numel(), round), 1, kBlocks));
}

// `partial` has blocks_for(x) elements.
template <class From, class To, class Term>
void sum_all(cudaStream_t stream, Term term, const Tensor& x, const Tensor& partial, Tensor& y) {
  const auto blocks = static_cast<int>(partial.numel());
  launch(partial_sum_kernel<Term, From>, static_cast<unsigned>(blocks), kThreads, 0, stream, term,
         x.data<From>(), x.numel(), aligned(x.raw()), partial.data<float>());
  launch(total_kernel<To>, 1, kThreads, 0, stream, partial.data<float>(), blocks, y.data<To>());
}

// partial [tile row, columns]: the column sums of each tile. A thread adds up a pack of columns over every
// width-th row of its tile, four rows under way; then the rows of threads are joined. Reads each element
// once.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    partial_rows_kernel(ColumnTiles tiles, const T* x, float* partial) {
  const ColumnWalk walk(tiles, kSize);
  float sums[kSize] = {};
  walk.down<4>([&]<int kPacks>(std::int64_t index) {
    Pack<T, kSize> packs[kPacks];
#pragma unroll
    for (int j = 0; j < kPacks; ++j) packs[j] = load_pack<kSize>(x + index + j * walk.stride);
#pragma unroll
    for (int j = 0; j < kPacks; ++j) {
      float values[kSize];
      unpack(packs[j], values);
#pragma unroll
      for (int i = 0; i < kSize; ++i) sums[i] += values[i];
    }
  });
  join_rows<kThreads>(tiles.width, sums, AddValues{});
  if (static_cast<int>(threadIdx.x) >= tiles.width || walk.column >= tiles.columns) return;
#pragma unroll
  for (int i = 0; i < kSize; ++i) partial[blockIdx.y * tiles.columns + walk.column + i] = sums[i];
}

// y [columns] = column sums of partial [rows, columns]. 32 columns per block, side by side; the rows of
// threads share out the rows of the matrix.
template <class T>
__global__ void __launch_bounds__(kJoinThreads)
    total_rows_kernel(const float* partial, int rows, std::int64_t columns, T* y, bool accumulate) {
  constexpr int kRows = kJoinThreads / 32;
  const std::int64_t column = blockIdx.x * std::int64_t{32} + threadIdx.x % 32;
  float sum[1] = {};
  if (column < columns)
    for (int row = static_cast<int>(threadIdx.x) / 32; row < rows; row += kRows)
      sum[0] += partial[row * columns + column];
  join_rows<kJoinThreads>(32, sum, AddValues{});
  if (threadIdx.x < 32 && column < columns) store_target(y + column, sum, accumulate);
}

}  // namespace

void CudaBackend::sum(const Tensor& x, Tensor& y) {
  const Tensor partial = scratch(blocks_for(x));
  dispatch_dtype(x.dtype(), [&](auto type) {
    using T = typename decltype(type)::type;
    sum_all<T, T>(stream(), Itself{}, x, partial, y);
  });
}

void CudaBackend::squared_norm(const Tensor& x, Tensor& y) {
  sum_all<float, float>(stream(), Square{}, x, scratch(blocks_for(x)), y);
}

void CudaBackend::sum_rows(const Tensor& x, const Target& y) {
  if (!y) return;
  const std::int64_t columns = y.dst.numel();
  dispatch_dtype(x.dtype(), [&](auto type) {
    using T = typename decltype(type)::type;
    with_packs<T>(columns, aligned(x.raw()), [&]<int kSize>() {
      // Three blocks per multiprocessor have enough loads under way, and few partial sums to add up
      // afterwards.
      const ColumnTiles tiles = cut_columns(x.shape().rows(), columns, kSize, kThreads, 3 * kMultiprocessors);
      const Tensor partial = scratch(tiles.row_tiles * columns);
      launch(partial_rows_kernel<T, kSize>, tiles.grid(), kThreads, 0, stream(), tiles, x.data<T>(),
             partial.data<float>());
      launch(total_rows_kernel<T>, join_grid(columns), kJoinThreads, 0, stream(), partial.data<float>(),
             tiles.row_tiles, columns, y.dst.data<T>(), y.accumulate);
    });
  });
}

}  // namespace sagitta::cuda
