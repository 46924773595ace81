// Batch norm over the rows of a [P,C] matrix (P = N*H*W), with residual and ReLU fused in.
// ResNet spends most of its time here, and it is all memory traffic, so what counts is bytes per element (of
// b bytes each):
//   forward   statistics read x, then one pass reads x (and the residual) and writes y:      3b (4b)
//   backward  sums read x, dy and y and keep the ReLU's mask, a bit per element, then one
//             pass reads x, dy and the mask, writes dx (and the residual's gradient):     6b (7b) + mask
// The second pass walks from the last row to the first, meeting first what the first pass left in the 50 MB
// L2 cache: up to about that size nothing is read twice from memory. Holding the matrix in shared memory
// between the passes would save no more than that, since all multiprocessors together hold 30 MB.
#include "cuda/column_tiles.cuh"
#include "cuda/cuda_backend.h"
#include "cuda/launch.h"
#include "cuda/target.cuh"

namespace sagitta::cuda {
namespace {

// Three blocks of 256 threads run on a multiprocessor at once: 80 registers each are enough for the columns'
// sums or factors and for 32 to 96 bytes per thread on their way from memory.
constexpr int kThreads = 256, kBlocksPerMultiprocessor = 3;
constexpr int kBlocks = kBlocksPerMultiprocessor * kMultiprocessors;

// Moments of kSize columns, one after another: means, sums of squared deviations, and the count they share.
// Merged by Chan, Golub and LeVeque's formula (1979): no difference of large numbers anywhere.
struct MergeMoments {
  template <int kValues>
  __device__ void operator()(float (&mine)[kValues], const float (&other)[kValues]) const {
    constexpr int kSize = kValues / 2;
    if (other[2 * kSize] == 0) return;
    const float count = mine[2 * kSize] + other[2 * kSize];
    const float part = other[2 * kSize] / count, weight = mine[2 * kSize] * part;
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      const float delta = other[i] - mine[i];
      mine[i] += delta * part;
      mine[kSize + i] += other[kSize + i] + delta * delta * weight;
    }
    mine[2 * kSize] = count;
  }
};

// First pass of training: moments of the columns of every tile, to partials [tiles, 2, C].
// A thread takes four rows at a time: their mean, the deviations from it while they are in registers, and a
// merge. Bound by memory: reads b bytes per element.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    tile_moments(ColumnTiles tiles, const T* x, float* partials) {
  const ColumnWalk walk(tiles, kSize);
  float moments[2 * kSize + 1] = {};
  walk.down<4>([&]<int kRows>(std::int64_t index) {
    float values[kRows][kSize], batch[2 * kSize + 1];
#pragma unroll
    for (int r = 0; r < kRows; ++r) load_floats<kSize>(x + index + r * walk.stride, values[r]);
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      float sum = 0, deviation = 0;
#pragma unroll
      for (int r = 0; r < kRows; ++r) sum += values[r][i];
      const float mean = sum * (1.0F / kRows);
#pragma unroll
      for (int r = 0; r < kRows; ++r) deviation += (values[r][i] - mean) * (values[r][i] - mean);
      batch[i] = mean;
      batch[kSize + i] = deviation;
    }
    batch[2 * kSize] = kRows;
    MergeMoments{}(moments, batch);
  });
  join_rows<kThreads>(tiles.width, moments, MergeMoments{});
  store_pairs<kSize>(tiles, walk, moments, partials);
}

struct RunningStatistics {
  float *mean, *variance;
  float momentum;
};

// Joins the tiles' moments; block and thread layout of join_grid. Reads 8 bytes per tile and column.
__global__ void __launch_bounds__(kJoinThreads)
    finish_statistics(ColumnTiles tiles, const float* partials, float eps, RunningStatistics running,
                      float* mean, float* rstd) {
  const std::int64_t column = blockIdx.x * 32 + threadIdx.x % 32;
  float moments[3] = {};
  if (column < tiles.columns)
#pragma unroll 4
    for (int tile = static_cast<int>(threadIdx.x) / 32; tile < tiles.row_tiles; tile += kJoinThreads / 32) {
      const float* partial = partials + 2 * tile * tiles.columns + column;
      const std::int64_t rows = min(tiles.tile_rows, tiles.rows - tile * tiles.tile_rows);
      const float other[3] = {partial[0], partial[tiles.columns], static_cast<float>(rows)};
      MergeMoments{}(moments, other);
    }
  join_rows<kJoinThreads>(32, moments, MergeMoments{});
  if (threadIdx.x >= 32 || column >= tiles.columns) return;
  const float deviation = moments[1], count = static_cast<float>(tiles.rows);
  mean[column] = moments[0];
  rstd[column] = 1.0F / sqrtf(deviation / count + eps);
  const auto update = [&](float& average, float batch) {
    average = (1 - running.momentum) * average + running.momentum * batch;
  };
  update(running.mean[column], moments[0]);
  update(running.variance[column], deviation / fmaxf(1.0F, count - 1));
}

// Statistics when not training. One thread per column.
__global__ void running_statistics(std::int64_t columns, float eps, const float* running_mean,
                                   const float* running_var, float* mean, float* rstd) {
  const std::int64_t column = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (column >= columns) return;
  mean[column] = running_mean[column];
  rstd[column] = 1.0F / sqrtf(running_var[column] + eps);
}

// Per-column vectors [C].
struct Affine {
  const float *mean, *rstd, *gamma, *beta;
};

// Second pass forward: y = relu?((x - mean) * rstd * gamma + beta + residual?). Bound by memory: reads b (2b)
// and writes b bytes per element.
template <class T, int kSize, bool kResidual>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    normalize(ColumnTiles tiles, const T* x, const T* residual, Affine affine, bool relu, T* y) {
  const ColumnWalk walk(tiles, kSize);
  if (walk.count == 0) return;
  float mean[kSize], scale[kSize], beta[kSize], rstd[kSize];
  load_columns<kSize>(affine.mean + walk.column, mean);
  load_columns<kSize>(affine.rstd + walk.column, rstd);
  load_columns<kSize>(affine.gamma + walk.column, scale);
  load_columns<kSize>(affine.beta + walk.column, beta);
#pragma unroll
  for (int i = 0; i < kSize; ++i) scale[i] *= rstd[i];
  walk.up<kResidual ? 2 : 4>([&]<int kRows>(std::int64_t index) {
    Pack<T, kSize> xs[kRows], others[kRows] = {};
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      xs[r] = load_pack<kSize>(x + index + r * walk.stride);
      if (kResidual) others[r] = load_pack<kSize>(residual + index + r * walk.stride);
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float result[kSize];
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        float value = (to_float(xs[r].value[i]) - mean[i]) * scale[i] + beta[i];
        if (kResidual) value += to_float(others[r].value[i]);
        result[i] = relu && value < 0 ? 0.0F : value;  // NaN passes
      }
      store_floats<kSize>(y + index + r * walk.stride, result);
    }
  });
}

// First pass backward, with g = dy where the ReLU let through and 0 elsewhere: sums of g and of g * (x -
// mean) of every tile, to partials [tiles, 2, C]; and, when wanted, one byte of mask bits for each pack.
// Bound by memory: reads 2b (with ReLU 3b) bytes per element.
template <class T, int kSize, bool kRelu>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    tile_gradients(ColumnTiles tiles, const T* x, const T* y, const T* dy, const float* mean,
                   std::uint8_t* mask, float* partials) {
  const ColumnWalk walk(tiles, kSize);
  float sums[2 * kSize] = {}, average[kSize] = {};
  if (walk.count > 0) load_columns<kSize>(mean + walk.column, average);
  walk.down<2>([&]<int kRows>(std::int64_t index) {
    Pack<T, kSize> xs[kRows], ys[kRows] = {}, dys[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      dys[r] = load_pack<kSize>(dy + index + r * walk.stride);
      xs[r] = load_pack<kSize>(x + index + r * walk.stride);
      if (kRelu) ys[r] = load_pack<kSize>(y + index + r * walk.stride);
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      unsigned bits = 0;
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        const bool open = !kRelu || to_float(ys[r].value[i]) > 0;
        bits |= static_cast<unsigned>(open) << i;
        const float g = open ? to_float(dys[r].value[i]) : 0.0F;
        sums[i] += g;
        sums[kSize + i] += g * (to_float(xs[r].value[i]) - average[i]);
      }
      if (kRelu && mask != nullptr) mask[(index + r * walk.stride) / kSize] = static_cast<std::uint8_t>(bits);
    }
  });
  join_rows<kThreads>(tiles.width, sums, AddValues{});
  store_pairs<kSize>(tiles, walk, sums, partials);
}

// Joins the tiles' sums into the gradients of gamma and beta, and into `factors` [3, C] of
// dx = factor0 * g + factor1 * x + factor2; the last two are 0 when the statistics are constants.
__global__ void __launch_bounds__(kJoinThreads)
    finish_gradients(ColumnTiles tiles, const float* partials, const float* gamma, const float* mean,
                     const float* rstd, bool training, Destination<float> dgamma, Destination<float> dbeta,
                     float* factors) {
  const std::int64_t column = blockIdx.x * 32 + threadIdx.x % 32;
  float sums[2] = {};
  join_pairs(tiles.row_tiles, tiles.columns, column, partials, sums);
  if (threadIdx.x >= 32 || column >= tiles.columns) return;
  const float r = rstd[column], scale = gamma[column] * r, count = static_cast<float>(tiles.rows);
  if (dgamma.data != nullptr) dgamma.put(column, sums[1] * r);
  if (dbeta.data != nullptr) dbeta.put(column, sums[0]);
  const float slope = training ? -scale * r * r * sums[1] / count : 0.0F;
  factors[column] = scale;
  factors[tiles.columns + column] = slope;
  factors[2 * tiles.columns + column] = training ? -scale * sums[0] / count - slope * mean[column] : 0.0F;
}

// Second pass backward: the gradients of x and of the residual. mask is null without a ReLU. Bound by memory:
// reads 2b + 1/8 and writes b (2b) bytes per element.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads, kBlocksPerMultiprocessor)
    propagate(ColumnTiles tiles, const T* x, const T* dy, const std::uint8_t* mask, const float* factors,
              Destination<T> dx, Destination<T> dresidual) {
  const ColumnWalk walk(tiles, kSize);
  if (walk.count == 0) return;
  float for_g[kSize], for_x[kSize], constant[kSize];
  load_columns<kSize>(factors + walk.column, for_g);
  load_columns<kSize>(factors + tiles.columns + walk.column, for_x);
  load_columns<kSize>(factors + 2 * tiles.columns + walk.column, constant);
  walk.up<2>([&]<int kRows>(std::int64_t index) {
    Pack<T, kSize> xs[kRows], dys[kRows];
    unsigned bits[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      dys[r] = load_pack<kSize>(dy + index + r * walk.stride);
      xs[r] = load_pack<kSize>(x + index + r * walk.stride);
      bits[r] = mask != nullptr ? mask[(index + r * walk.stride) / kSize] : 0xFFu;
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const auto g = [&](int i) { return bits[r] >> i & 1u ? to_float(dys[r].value[i]) : 0.0F; };
      float result[kSize];
      // The residual first, because x may be its own residual: then dx adds to what this wrote.
      if (dresidual.data != nullptr) {
#pragma unroll
        for (int i = 0; i < kSize; ++i) result[i] = g(i);
        dresidual.put(index + r * walk.stride, result);
      }
      if (dx.data == nullptr) continue;
#pragma unroll
      for (int i = 0; i < kSize; ++i)
        result[i] = for_g[i] * g(i) + (for_x[i] * to_float(xs[r].value[i]) + constant[i]);
      dx.put(index + r * walk.stride, result);
    }
  });
}

}  // namespace

void CudaBackend::batch_norm(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                             const Tensor& beta, Tensor& running_mean, Tensor& running_var, Tensor& y,
                             Tensor& mean, Tensor& rstd) {
  BatchNormParams plain = params;
  plain.relu = false;
  batch_norm_add_relu(plain, x, gamma, beta, {}, running_mean, running_var, y, mean, rstd);
}

void CudaBackend::batch_norm_backward(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                                      const Tensor& mean, const Tensor& rstd, const Tensor& dy,
                                      const Target& dx, const Target& dgamma, const Target& dbeta) {
  BatchNormParams plain = params;
  plain.relu = false;
  batch_norm_add_relu_backward(plain, x, {}, gamma, mean, rstd, dy, dx, dgamma, dbeta, {});
}

void CudaBackend::batch_norm_add_relu(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                                      const Tensor& beta, const Tensor& residual, Tensor& running_mean,
                                      Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd) {
  const std::int64_t rows = x.shape().rows(), columns = x.shape().back();
  const float eps = static_cast<float>(params.eps);
  float *const means = mean.data<float>(), *const rstds = rstd.data<float>();
  const Affine affine{means, rstds, gamma.data<float>(), beta.data<float>()};
  dispatch_dtype(x.dtype(), [&]<class T>(TypeTag<T>) {
    const T *const in = x.data<T>(), *const other = data_or_null<T>(residual);
    T* const out = y.data<T>();
    const auto run = [&]<int kSize>() {
      const ColumnTiles tiles = cut_columns(rows, columns, kSize, kThreads, kBlocks);
      if (params.training) {
        const Tensor partials = scratch(2 * tiles.row_tiles * columns);
        const RunningStatistics running{running_mean.data<float>(), running_var.data<float>(),
                                        static_cast<float>(params.momentum)};
        launch(tile_moments<T, kSize>, tiles.grid(), kThreads, 0, stream(), tiles, in,
               partials.data<float>());
        launch(finish_statistics, join_grid(columns), kJoinThreads, 0, stream(), tiles,
               partials.data<float>(), eps, running, means, rstds);
      } else {
        launch(running_statistics, static_cast<unsigned>(ceil_div(columns, 128)), 128, 0, stream(), columns,
               eps, running_mean.data<float>(), running_var.data<float>(), means, rstds);
      }
      launch(other != nullptr ? normalize<T, kSize, true> : normalize<T, kSize, false>, tiles.grid(),
             kThreads, 0, stream(), tiles, in, other, affine, params.relu, out);
    };
    with_packs<T>(columns, aligned(in, other, out, means, rstds, affine.gamma, affine.beta), run);
  });
}

void CudaBackend::batch_norm_add_relu_backward(const BatchNormParams& params, const Tensor& x,
                                               const Tensor& y, const Tensor& gamma, const Tensor& mean,
                                               const Tensor& rstd, const Tensor& dy, const Target& dx,
                                               const Target& dgamma, const Target& dbeta,
                                               const Target& dresidual) {
  const std::int64_t rows = x.shape().rows(), columns = x.shape().back();
  const bool apply = dx || dresidual;
  dispatch_dtype(x.dtype(), [&]<class T>(TypeTag<T>) {
    const T *const in = x.data<T>(), *const gradient = dy.data<T>();
    const T* const out = params.relu ? y.data<T>() : nullptr;
    const Destination<T> to_x(dx), to_residual(dresidual);
    const float* const means = mean.data<float>();
    const Tensor factors = scratch(3 * columns);
    const auto run = [&]<int kSize>() {
      Tensor mask;
      if (apply && params.relu) mask = Tensor(*this, {rows * columns / kSize}, DType::u8);
      const ColumnTiles tiles = cut_columns(rows, columns, kSize, kThreads, kBlocks);
      const Tensor partials = scratch(2 * tiles.row_tiles * columns);
      launch(params.relu ? tile_gradients<T, kSize, true> : tile_gradients<T, kSize, false>, tiles.grid(),
             kThreads, 0, stream(), tiles, in, out, gradient, means, data_or_null<std::uint8_t>(mask),
             partials.data<float>());
      launch(finish_gradients, join_grid(columns), kJoinThreads, 0, stream(), tiles, partials.data<float>(),
             gamma.data<float>(), means, rstd.data<float>(), params.training, Destination<float>(dgamma),
             Destination<float>(dbeta), factors.data<float>());
      if (!apply) return;
      launch(propagate<T, kSize>, tiles.grid(), kThreads, 0, stream(), tiles, in, gradient,
             data_or_null<std::uint8_t>(mask), factors.data<float>(), to_x, to_residual);
    };
    with_packs<T>(columns, aligned(in, out, gradient, to_x.data, to_residual.data, means), run);
  });
}

}  // namespace sagitta::cuda
