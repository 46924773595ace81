// Layer norm over the last axis, with the residual's addition fused in. Bound by memory: with b bytes per
// element forward moves 2b (with residual 4b), backward 3b. A row of up to 1024 columns belongs to one warp
// and stays in its registers (WarpRow below), so it is read once; wider rows belong to a block each, which
// reads them again from the caches.
#include <type_traits>

#include "cuda/column_tiles.cuh"
#include "cuda/cuda_backend.h"
#include "cuda/launch.h"
#include "cuda/reduce.cuh"
#include "cuda/target.cuh"

namespace sagitta::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;

// x [rows, columns].
struct Rows {
  int rows, columns;
  float inverse;  // 1 / columns

  Rows(std::int64_t row_count, std::int64_t column_count)
      : rows(static_cast<int>(row_count)),
        columns(static_cast<int>(column_count)),
        inverse(1.0F / static_cast<float>(column_count)) {}
};

// How a warp holds a row in `kPacks` packs of `kSize` elements per lane: lane l has packs l, l + 32, ...
// Elements beyond the last column read as 0 and are not written.
template <int kPacks, int kSize>
struct WarpRow {
  // Calls body(i, column) for every pack of this lane that exists.
  template <class Body>
  __device__ static void each_pack(int columns, const Body& body) {
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      const int column = (static_cast<int>(threadIdx.x) % kWarp + i * kWarp) * kSize;
      if (column < columns) body(i, column);
    }
  }
};

// What forward reads and writes. residual and sum may be null; with them the norm is that of the rounded sum,
// which is what backward will read.
template <class T>
struct Forward {
  const T *x, *residual;
  const float *gamma, *beta;
  T *sum, *y;
  float *mean, *rstd;
  float eps;

  template <int kSize>
  __device__ void load(std::int64_t index, float (&values)[kSize]) const {
    load_floats<kSize>(x + index, values);
    if (residual == nullptr) return;
    float others[kSize];
    load_floats<kSize>(residual + index, others);
    Pack<T, kSize> rounded;
#pragma unroll
    for (int i = 0; i < kSize; ++i) rounded.value[i] = from_float<T>(values[i] + others[i]);
    *reinterpret_cast<Pack<T, kSize>*>(sum + index) = rounded;
    unpack(rounded, values);
  }

  template <int kSize>
  __device__ void store(std::int64_t row_begin, int column, float average, float scale,
                        float (&values)[kSize]) const {
    float weights[kSize], biases[kSize];
    load_columns<kSize>(gamma + column, weights);
    load_columns<kSize>(beta + column, biases);
#pragma unroll
    for (int i = 0; i < kSize; ++i) values[i] = (values[i] - average) * scale * weights[i] + biases[i];
    store_floats<kSize>(y + row_begin + column, values);
  }
};

// One warp per row. gamma and beta come from the L1 cache.
template <class T, int kPacks, int kSize>
__global__ void __launch_bounds__(kThreads) normalize_rows(Rows shape, Forward<T> io) {
  using Lanes = WarpRow<kPacks, kSize>;
  const int row = static_cast<int>(blockIdx.x * kWarps + threadIdx.x / kWarp);
  if (row >= shape.rows) return;
  const std::int64_t begin = std::int64_t{row} * shape.columns;
  float values[kPacks][kSize] = {}, sum = 0, deviation = 0;
  Lanes::each_pack(shape.columns, [&](int i, int column) { io.load(begin + column, values[i]); });
#pragma unroll
  for (int i = 0; i < kPacks; ++i)
#pragma unroll
    for (int j = 0; j < kSize; ++j) sum += values[i][j];
  const float average = warp_sum(sum) * shape.inverse;
  Lanes::each_pack(shape.columns, [&](int i, int) {
#pragma unroll
    for (int j = 0; j < kSize; ++j) deviation += (values[i][j] - average) * (values[i][j] - average);
  });
  const float scale = rsqrtf(warp_sum(deviation) * shape.inverse + io.eps);
  Lanes::each_pack(shape.columns,
                   [&](int i, int column) { io.store(begin, column, average, scale, values[i]); });
  if (threadIdx.x % kWarp == 0) {
    io.mean[row] = average;
    io.rstd[row] = scale;
  }
}

// One block per row, three sweeps over it.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads) normalize_wide_rows(Rows shape, Forward<T> io) {
  const std::int64_t begin = blockIdx.x * std::int64_t{shape.columns};
  const int first = static_cast<int>(threadIdx.x) * kSize;
  const T* const row = io.residual != nullptr ? io.sum : io.x;  // a thread reads what it wrote itself
  float values[kSize], sum = 0, deviation = 0;
  for (int column = first; column < shape.columns; column += kThreads * kSize) {
    io.load(begin + column, values);
#pragma unroll
    for (int j = 0; j < kSize; ++j) sum += values[j];
  }
  const float average = block_sum<kThreads>(sum) * shape.inverse;
  for (int column = first; column < shape.columns; column += kThreads * kSize) {
    load_floats<kSize>(row + begin + column, values);
#pragma unroll
    for (int j = 0; j < kSize; ++j) deviation += (values[j] - average) * (values[j] - average);
  }
  const float scale = rsqrtf(block_sum<kThreads>(deviation) * shape.inverse + io.eps);
  for (int column = first; column < shape.columns; column += kThreads * kSize) {
    load_floats<kSize>(row + begin + column, values);
    io.store(begin, column, average, scale, values);
  }
  if (threadIdx.x == 0) {
    io.mean[blockIdx.x] = average;
    io.rstd[blockIdx.x] = scale;
  }
}

// What backward reads and writes. With h = (x - mean) * rstd and g = gamma * dy:
// dx = rstd * (g - average(g) - h * average(g h)), dgamma = sum of dy * h and dbeta = sum of dy over the
// rows.
template <class T>
struct Backward {
  const T *x, *dy;
  const float *gamma, *mean, *rstd;
  Destination<T> dx;

  // h, dy and g of the pack at `column`.
  template <int kSize>
  __device__ void load(std::int64_t begin, int column, float average, float scale, float (&h)[kSize],
                       float (&d)[kSize], float (&g)[kSize]) const {
    load_floats<kSize>(x + begin + column, h);
    load_floats<kSize>(dy + begin + column, d);
    load_columns<kSize>(gamma + column, g);
#pragma unroll
    for (int j = 0; j < kSize; ++j) {
      h[j] = (h[j] - average) * scale;
      g[j] *= d[j];
    }
  }

  template <int kSize>
  __device__ void store(std::int64_t index, float scale, float average_g, float slope,
                        const float (&h)[kSize], float (&g)[kSize]) const {
#pragma unroll
    for (int j = 0; j < kSize; ++j) g[j] = scale * (g[j] - average_g - h[j] * slope);
    dx.put(index, g);
  }
};

// One warp per row, rows dealt out to the warps of the grid; a lane always has the same columns, so it adds
// up their dgamma and dbeta in registers. The warps of a block are joined in order, to partials [blocks, 2,
// columns] (null: not wanted). Dynamic shared memory: 2 * columns floats.
template <class T, int kPacks, int kSize>
__global__ void __launch_bounds__(kThreads, kPacks* kSize <= 24 ? 2 : 1)
    propagate_rows(Rows shape, Backward<T> io, float* partials) {
  using Lanes = WarpRow<kPacks, kSize>;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  float dgamma[kPacks][kSize] = {}, dbeta[kPacks][kSize] = {};
  const int step = static_cast<int>(gridDim.x) * kWarps;
  for (int row = static_cast<int>(blockIdx.x) * kWarps + warp; row < shape.rows; row += step) {
    const std::int64_t begin = std::int64_t{row} * shape.columns;
    const float average = io.mean[row], scale = io.rstd[row];
    float h[kPacks][kSize] = {}, g[kPacks][kSize] = {}, sum = 0, slope = 0;
    Lanes::each_pack(shape.columns, [&](int i, int column) {
      float d[kSize];
      io.load(begin, column, average, scale, h[i], d, g[i]);
#pragma unroll
      for (int j = 0; j < kSize; ++j) {
        dgamma[i][j] += d[j] * h[i][j];
        dbeta[i][j] += d[j];
        sum += g[i][j];
        slope += g[i][j] * h[i][j];
      }
    });
    if (io.dx.data == nullptr) continue;
    sum = warp_sum(sum) * shape.inverse;
    slope = warp_sum(slope) * shape.inverse;
    Lanes::each_pack(shape.columns,
                     [&](int i, int column) { io.store(begin + column, scale, sum, slope, h[i], g[i]); });
  }
  if (partials == nullptr) return;
  float* const totals = dynamic_shared<float>();
  for (int turn = 0; turn < kWarps; ++turn) {
    if (turn == warp)
      Lanes::each_pack(shape.columns, [&](int i, int column) {
#pragma unroll
        for (int j = 0; j < kSize; ++j) {
          float& of_gamma = totals[column + j];
          float& of_beta = totals[shape.columns + column + j];
          of_gamma = turn == 0 ? dgamma[i][j] : of_gamma + dgamma[i][j];
          of_beta = turn == 0 ? dbeta[i][j] : of_beta + dbeta[i][j];
        }
      });
    __syncthreads();
  }
  for (int i = static_cast<int>(threadIdx.x); i < 2 * shape.columns; i += kThreads)
    partials[std::int64_t{blockIdx.x} * 2 * shape.columns + i] = totals[i];
}

// One block per row, two sweeps over it; dx only.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads) propagate_wide_rows(Rows shape, Backward<T> io) {
  const std::int64_t row = blockIdx.x, begin = row * shape.columns;
  const int first = static_cast<int>(threadIdx.x) * kSize;
  const float average = io.mean[row], scale = io.rstd[row];
  float h[kSize], d[kSize], g[kSize], sum = 0, slope = 0;
  for (int column = first; column < shape.columns; column += kThreads * kSize) {
    io.load(begin, column, average, scale, h, d, g);
#pragma unroll
    for (int j = 0; j < kSize; ++j) {
      sum += g[j];
      slope += g[j] * h[j];
    }
  }
  sum = block_sum<kThreads>(sum) * shape.inverse;
  slope = block_sum<kThreads>(slope) * shape.inverse;
  for (int column = first; column < shape.columns; column += kThreads * kSize) {
    io.load(begin, column, average, scale, h, d, g);
    io.store(begin + column, scale, sum, slope, h, g);
  }
}

// The sums for dgamma and dbeta of wide rows, over the tiles of the matrix, to partials [tiles, 2, columns].
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    add_up_wide_rows(ColumnTiles tiles, Backward<T> io, float* partials) {
  const ColumnWalk walk(tiles, kSize);
  float sums[2 * kSize] = {};
  const std::int64_t step = tiles.threads / tiles.width;
  std::int64_t row = blockIdx.y * tiles.tile_rows + threadIdx.x / tiles.width;
  walk.down<1>([&]<int kPacks>(std::int64_t index) {
    static_assert(kPacks == 1);
    const float average = io.mean[row], scale = io.rstd[row];
    float xs[kSize], dys[kSize];
    load_floats<kSize>(io.x + index, xs);
    load_floats<kSize>(io.dy + index, dys);
#pragma unroll
    for (int j = 0; j < kSize; ++j) {
      sums[j] += dys[j] * (xs[j] - average) * scale;
      sums[kSize + j] += dys[j];
    }
    row += step;
  });
  join_rows<kThreads>(tiles.width, sums, AddValues{});
  store_pairs<kSize>(tiles, walk, sums, partials);
}

// Joins partials [tiles, 2, columns]; block and thread layout of join_grid.
__global__ void __launch_bounds__(kJoinThreads)
    finish_parameters(std::int64_t tiles, std::int64_t columns, const float* partials,
                      Destination<float> dgamma, Destination<float> dbeta) {
  const std::int64_t column = blockIdx.x * 32 + threadIdx.x % 32;
  float sums[2] = {};
  join_pairs(tiles, columns, column, partials, sums);
  if (threadIdx.x >= 32 || column >= columns) return;
  if (dgamma.data != nullptr) dgamma.put(column, sums[0]);
  if (dbeta.data != nullptr) dbeta.put(column, sums[1]);
}

template <int kValue>
using Int = std::integral_constant<int, kValue>;

// Calls run(packs per lane, elements per pack) with the smallest of the compiled ways to hold a row in a warp
// (256, 768 = ViT-B, or 1024 columns; 256 where packs do not fit), and packs per lane 0 for wider rows.
template <class T, class Run>
void choose_row(std::int64_t columns, bool packs_fit, const Run& run) {
  constexpr int kSize = kPackSize<T>;
  if (!packs_fit && columns <= 256) return run(Int<8>{}, Int<1>{});
  if (!packs_fit) return run(Int<0>{}, Int<1>{});
  if (columns <= 256) return run(Int<8 / kSize>{}, Int<kSize>{});
  if (columns <= 768) return run(Int<24 / kSize>{}, Int<kSize>{});
  if (columns <= 1024) return run(Int<32 / kSize>{}, Int<kSize>{});
  return run(Int<0>{}, Int<kSize>{});
}

template <class T>
void forward(std::int64_t rows, std::int64_t columns, const Forward<T>& io, cudaStream_t stream) {
  const bool fit = packs_fit<T>(columns, io.x, io.residual, io.sum, io.y, io.gamma, io.beta);
  const Rows shape(rows, columns);
  choose_row<T>(columns, fit, [&]<int kPacks, int kSize>(Int<kPacks>, Int<kSize>) {
    if constexpr (kPacks > 0)
      launch(normalize_rows<T, kPacks, kSize>, static_cast<unsigned>(ceil_div(rows, kWarps)), kThreads, 0,
             stream, shape, io);
    else
      launch(normalize_wide_rows<T, kSize>, static_cast<unsigned>(rows), kThreads, 0, stream, shape, io);
  });
}

}  // namespace

void CudaBackend::layer_norm(double eps, const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& y,
                             Tensor& mean, Tensor& rstd) {
  Tensor none;
  add_layer_norm(eps, x, none, gamma, beta, none, y, mean, rstd);
}

void CudaBackend::add_layer_norm(double eps, const Tensor& x, const Tensor& residual, const Tensor& gamma,
                                 const Tensor& beta, Tensor& sum, Tensor& y, Tensor& mean, Tensor& rstd) {
  dispatch_dtype(x.dtype(), [&]<class T>(TypeTag<T>) {
    const Forward<T> io{x.data<T>(),        data_or_null<T>(residual), gamma.data<float>(),
                        beta.data<float>(), data_or_null<T>(sum),      y.data<T>(),
                        mean.data<float>(), rstd.data<float>(),        static_cast<float>(eps)};
    forward(x.shape().rows(), gamma.numel(), io, stream());
  });
}

void CudaBackend::layer_norm_backward(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                                      const Tensor& rstd, const Tensor& dy, const Target& dx,
                                      const Target& dgamma, const Target& dbeta) {
  const std::int64_t rows = x.shape().rows(), columns = gamma.numel();
  const bool parameters = dgamma || dbeta;
  if (!dx && !parameters) return;
  dispatch_dtype(x.dtype(), [&]<class T>(TypeTag<T>) {
    const Backward<T> io{x.data<T>(),        dy.data<T>(),       gamma.data<float>(),
                         mean.data<float>(), rstd.data<float>(), Destination<T>(dx)};
    const bool fit = packs_fit<T>(columns, io.x, io.dy, io.gamma, io.dx.data);
    const Rows shape(rows, columns);
    choose_row<T>(columns, fit, [&]<int kPacks, int kSize>(Int<kPacks>, Int<kSize>) {
      Tensor partials;
      std::int64_t tiles = 0;
      if constexpr (kPacks > 0) {
        tiles = std::min<std::int64_t>(ceil_div(rows, kWarps), 2 * kMultiprocessors);
        if (parameters) partials = scratch(2 * tiles * columns);
        launch(propagate_rows<T, kPacks, kSize>, static_cast<unsigned>(tiles), kThreads,
               2 * static_cast<std::size_t>(columns) * sizeof(float), stream(), shape, io,
               data_or_null<float>(partials));
      } else {
        if (dx)
          launch(propagate_wide_rows<T, kSize>, static_cast<unsigned>(rows), kThreads, 0, stream(), shape,
                 io);
        const ColumnTiles cut = cut_columns(rows, columns, kSize, kThreads, 2 * kMultiprocessors);
        tiles = cut.row_tiles;
        if (parameters) {
          partials = scratch(2 * tiles * columns);
          launch(add_up_wide_rows<T, kSize>, cut.grid(), kThreads, 0, stream(), cut, io,
                 partials.data<float>());
        }
      }
      if (parameters)
        launch(finish_parameters, join_grid(columns), kJoinThreads, 0, stream(), tiles, columns,
               partials.data<float>(), Destination<float>(dgamma), Destination<float>(dbeta));
    });
  });
}

}  // namespace sagitta::cuda
