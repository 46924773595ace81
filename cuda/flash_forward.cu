// Attention forward on tensor cores.
//
// For one head, row i of y is sum_j p_ij v_j with p_ij = exp(s_ij - lse_i), s_ij = scale q_i . k_j and lse_i
// the log of the sum of exp(s_ij). Softmax seems to need the whole row of scores before its first weight. The
// online softmax does not: keep, for the keys seen so far, the largest score m, the sum l of exp(s - m) and
// the unnormalized output o = sum exp(s - m) v. When a new tile of keys raises the maximum to m', what was
// summed under the old one is off by the factor f = exp(m - m'), so
//
//     l <- f l + sum exp(s - m'),    o <- f o + sum exp(s - m') v,    m <- m'
//
// and at the end y = o / l, lse = m + log l. Nothing of size T x T is ever stored. Exponentials are taken to
// base 2, with scale * log2(e) as one factor inside a single fused multiply-add per score.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "cuda/flash_attention.h"
#include "cuda/flash_problem.cuh"
#include "cuda/flash_tile.cuh"

namespace sagitta::cuda {

namespace {

// How the work is cut. A warp with one 16-row fragment asks shared memory (128 bytes per cycle) for two
// cycles of columns to keep the tensor cores (4096 flops per cycle) busy for one. With two fragments every
// column is used twice, and both are equally busy. In wider heads a second one does not fit the registers.
template <int kDim>
struct WorkCut {
  static constexpr int kTiles = kDim <= 64 ? 2 : 1;
  static constexpr int kWarpRows = 16 * kTiles;
  static constexpr int kRows = kFlashWarps * kWarpRows;  // queries of a block
  static constexpr int kKeys = kDim <= 64 ? 64 : 32;     // keys of a step
};

// What a warp knows of its rows: lane l holds of row l/4 (index 0) and l/4 + 8 (index 1) of every fragment.
template <class T, int kTiles, int kDim>
struct Rows {
  RegisterRows<T, kTiles, kDim> query;
  float output[kTiles][kDim / 8][4] = {};
  float top[kTiles][2], sum[kTiles][2] = {};  // top is of unscaled scores; sum is of this lane's columns only
};

// scores = q k^T for the keys in the tile, of which `left` exist; kTail: that may be fewer than the tile
// holds.
template <bool kTail, class T, int kTiles, int kDim, int kColumns>
__device__ inline void multiply_scores(const Rows<T, kTiles, kDim>& rows, const T* keys, int left,
                                       float (&scores)[kTiles][kColumns][4]) {
#pragma unroll
  for (int group = 0; group < kColumns / 2; ++group)
    if (!kTail || group * 16 < left)
      multiply_by_rows(rows.query, keys + group * 16 * kTileStride<kDim>, 2 * group, scores);
}

// The online softmax: turns scores into weights 2^(factor (score - top)) and brings what was summed before to
// the new top. Four neighboring lanes share a row, so its maximum takes two exchanges.
template <bool kTail, class T, int kTiles, int kDim, int kColumns>
__device__ inline void weigh(Rows<T, kTiles, kDim>& rows, float factor, int left,
                             float (&scores)[kTiles][kColumns][4]) {
  const int pair = static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float top = rows.top[tile][half];
#pragma unroll
      for (int n = 0; n < kColumns; ++n)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float& score = scores[tile][n][2 * half + i];
          if (kTail && n * 8 + pair + i >= left) score = -INFINITY;
          top = fmaxf(top, score);
        }
      top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
      top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
      const float rescale = fast_exp2((rows.top[tile][half] - top) * factor);
      rows.top[tile][half] = top;
      float sum = 0;
#pragma unroll
      for (int n = 0; n < kColumns; ++n)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float& score = scores[tile][n][2 * half + i];
          score = fast_exp2(fmaf(score, factor, -top * factor));
          sum += score;
        }
      rows.sum[tile][half] = rows.sum[tile][half] * rescale + sum;
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
        rows.output[tile][n][2 * half] *= rescale;
        rows.output[tile][n][2 * half + 1] *= rescale;
      }
    }
}

// Drops weights, after they were summed: softmax comes before dropout.
template <int kTiles, int kColumns>
__device__ inline void drop(const FlashMask& mask, float survivor, int first_row, int first_key,
                            float (&weights)[kTiles][kColumns][4]) {
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    const std::uint32_t bits = surviving<4 * kColumns>([&](int element) {
      return mask.survives(first_row + tile * 16 + fragment_row(element),
                           first_key + fragment_column(element));
    });
#pragma unroll
    for (int n = 0; n < kColumns; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) weights[tile][n][i] *= bits >> (4 * n + i) & 1U ? survivor : 0.0F;
  }
}

// Rounds the weights to left operands, 16 keys each.
template <class T, int kTiles, int kColumns>
__device__ inline void round_weights(const float (&weights)[kTiles][kColumns][4],
                                     Fragment (&operands)[kColumns / 2][kTiles]) {
#pragma unroll
  for (int group = 0; group < kColumns / 2; ++group)
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile)
      operands[group][tile] = as_operand<T>(weights[tile][2 * group], weights[tile][2 * group + 1]);
}

// output += weights v
template <bool kTail, class T, int kTiles, int kDim, int kGroups>
__device__ inline void add_values(Rows<T, kTiles, kDim>& rows, const T* values, int left,
                                  const Fragment (&weights)[kGroups][kTiles]) {
#pragma unroll
  for (int group = 0; group < kGroups; ++group)
    if (!kTail || group * 16 < left)
      multiply_by_columns<kDim>(weights[group], values + group * 16 * kTileStride<kDim>, rows.output);
}

// Threads: a block of 4 warps owns 128 queries of one head (64 in heads wider than 64), a warp 32 (16) of
// them, and steps over the keys 64 (32) at a time. The blocks of a head are neighbors, so that all but the
// first find its keys and values in L2. Tiles are double-buffered: while the warps multiply with one pair,
// the next one travels to registers. It sets out when the scores have been rounded and left theirs.
// Bound by: tensor cores, 4 T^2 D flops per head, and as much by the T^2 exponentials: at D = 64 a score
// costs 256 flops, of which the tensor cores of an SM do 4096 per cycle, and one exponential, of which it
// does 16.
// Bytes: 8 D per token and head, for q, k, v and y; from L2 each block reads all of k and v, 4 T D.
template <class T, int kDim, bool kDropout>
__global__ void __launch_bounds__(kFlashThreads, 2)
    flash_forward_kernel(FlashProblem problem, const T* qkv, T* y, float* lse) {
  using Cut = WorkCut<kDim>;
  constexpr int kTiles = Cut::kTiles, kRows = Cut::kRows, kKeys = Cut::kKeys;
  constexpr int kTileSize = kKeys * kTileStride<kDim>;
  T* const shared = dynamic_shared<T>();
  const int tokens = problem.tokens, dim = problem.dim, stride = problem.packed_stride();
  const int blocks_per_head = (tokens + kRows - 1) / kRows;
  const int head = static_cast<int>(blockIdx.x) / blocks_per_head;
  const int block_row = static_cast<int>(blockIdx.x) % blocks_per_head * kRows;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warp_row = block_row + warp * Cut::kWarpRows;
  const T* const queries = qkv + problem.packed(head);

  Rows<T, kTiles, kDim> rows;
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) rows.top[tile][0] = rows.top[tile][1] = -INFINITY;
  {
    TileLoader<T, kRows, kDim> loader(queries + block_row * stride, stride, dim);
    loader.fetch(tokens - block_row);
    loader.put(shared);
    __syncthreads();
    rows.query.load(shared + warp * Cut::kWarpRows * kTileStride<kDim>);
    __syncthreads();
  }

  const T* const keys = queries + problem.width();
  PairLoader<T, kKeys, kDim> next({keys, keys + problem.width(), stride, stride}, 0, dim);
  const float factor = problem.scale * kLog2E;
  // One step; the last one (kTail) masks the keys that do not exist and fetches no more.
  const auto step = [&]<bool kTail>(std::bool_constant<kTail>, const T* buffer, int first) {
    const bool busy = warp_row < tokens;
    const int left = tokens - first;
    Fragment weights[kKeys / 16][kTiles];
    if (busy) {
      float scores[kTiles][kKeys / 8][4] = {};
      multiply_scores<kTail>(rows, buffer, left, scores);
      weigh<kTail>(rows, factor, left, scores);
      if constexpr (kDropout) drop(FlashMask(problem, head), problem.survivor, warp_row, first, scores);
      round_weights<T>(scores, weights);
    }
    if constexpr (!kTail) next.fetch(left - kKeys);
    if (busy) add_values<kTail>(rows, buffer + kTileSize, left, weights);
  };

  next.fetch(tokens);
  next.put(shared);
  __syncthreads();
  int first = 0, buffer = 0;
  for (; first + kKeys < tokens; first += kKeys) {
    step(std::false_type{}, shared + buffer * 2 * kTileSize, first);
    buffer ^= 1;
    next.put(shared + buffer * 2 * kTileSize);
    __syncthreads();
  }
  step(std::true_type{}, shared + buffer * 2 * kTileSize, first);
  __syncthreads();
  if (warp_row >= tokens) return;

#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = rows.sum[tile][half];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      const int row = warp_row + tile * 16 + half * 8 + lane / 4;
      if (lane % 4 == 0 && row < tokens)
        lse[problem.row(head) + row] = rows.top[tile][half] * problem.scale + logf(sum);
#pragma unroll
      for (int n = 0; n < kDim / 8; ++n) {
        rows.output[tile][n][2 * half] /= sum;
        rows.output[tile][n][2 * half + 1] /= sum;
      }
    }
  float* const staging = reinterpret_cast<float*>(shared) + warp * kStagingFloats<kTiles, kDim>;
  store_rows<T, kTiles, kDim>(rows.output, 1, staging, y + problem.merged(head) + warp_row * problem.width(),
                              problem.width(), tokens - warp_row, dim, false);
}

template <class T, int kDim, bool kDropout>
void start(const FlashProblem& problem, const Tensor& qkv, Tensor& y, Tensor& lse, cudaStream_t stream) {
  using Cut = WorkCut<kDim>;
  // Four tiles of keys and values, the tile of queries before them, and the results after: whichever is most.
  constexpr std::size_t kTiles = 4 * Cut::kKeys * kTileStride<kDim> * sizeof(T);
  constexpr std::size_t kResults = kFlashWarps * kStagingFloats<Cut::kTiles, kDim> * sizeof(float);
  const auto heads = static_cast<unsigned>(qkv.shape()[0] * problem.heads);
  launch(flash_forward_kernel<T, kDim, kDropout>,
         heads * static_cast<unsigned>(ceil_div(problem.tokens, Cut::kRows)), kFlashThreads,
         std::max(kTiles, kResults), stream, problem, qkv.data<T>(), y.data<T>(), lse.data<float>());
}

}  // namespace

void flash_forward(const AttentionParams& params, const Tensor& state, const Tensor& qkv, Tensor& y,
                   Tensor& lse, cudaStream_t stream) {
  const FlashProblem problem(params, state, qkv);
  if (qkv.numel() == 0) return;
  if (!tensor_cores_fit(problem.dim, qkv, y)) return flash_simt_forward(problem, qkv, y, lse, stream);
  dispatch_flash(qkv.dtype(), problem,
                 [&]<class T, int kDim, bool kDropout>(FlashVariant<T, kDim, kDropout>) {
                   start<T, kDim, kDropout>(problem, qkv, y, lse, stream);
                 });
}

}  // namespace sagitta::cuda
