// Attention backward on tensor cores.
//
// With P the softmax weights, Z the dropout mask (0 or 1/(1-p)) and W = P Z, y = W v has the gradients
//
//     dv = W^T dy,   dP = Z (dy v^T),   dS = P (dP - delta),   dq = scale dS k,   dk = scale dS^T q
//
// where delta_i = sum_d dy_id y_id is the row sum of P dP that the softmax takes off. P comes back from the
// scores and the saved log-sum-exp, a tile at a time. dq sums over keys and dk, dv over queries: to have each
// sum in one place and in one order, without atomics, there are two passes over the scores - one whose blocks
// own keys, one whose blocks own queries - at the price of 7 products where 5 would do.
//
// The two passes are one kernel. A block owns rows of a pair of matrices and steps over the rows of the other
// pair: (k, v) over (q, dy), or (q, dy) over (k, v). Either way scores = first_own first_other^T and dP =
// second_own second_other^T, and the rows that a block owns are the rows of both.
#include <algorithm>
#include <cmath>
#include <type_traits>

#include "cuda/flash_attention.h"
#include "cuda/flash_problem.cuh"
#include "cuda/flash_tile.cuh"

namespace sagitta::cuda {

namespace {

// How the work is cut: rows that a block owns, and rows of the other pair per step. A warp that owns keys
// sums up two gradients, and a second 16-row fragment would not fit its registers; nor do, in heads wider
// than 64, the keys and values themselves.
template <int kDim, bool kOwnsKeys>
struct WorkCut {
  static constexpr int kTiles = kDim <= 64 && !kOwnsKeys ? 2 : 1;
  static constexpr int kWarpRows = 16 * kTiles;
  static constexpr int kRows = kFlashWarps * kWarpRows;
  static constexpr int kStep = kDim <= 64 ? 32 : 16;
  static constexpr bool kInRegisters = kDim <= 64 || !kOwnsKeys;
};

// How many blocks shall share an SM, and its registers.
template <int kDim, bool kDropout, bool kOwnsKeys>
inline constexpr int kBlocks = kDim <= 64 && !kDropout && kOwnsKeys ? 3 : 2;

// A warp's rows of the owned pair and their gradients.
template <class T, int kTiles, int kDim, bool kInRegisters>
struct Owned {
  std::conditional_t<kInRegisters, RegisterRows<T, kTiles, kDim>, SharedRows<T, kTiles, kDim>> first, second;
  float dfirst[kTiles][kDim / 8][4] = {}, dsecond[kTiles][kDim / 8][4] = {};
  FlashRow row[kTiles][2];  // when queries are owned: of rows l/4 and l/4 + 8 of every fragment
};

// Sixteen rows of the other pair, which are 16 columns of the scores.
template <class T, int kTiles>
struct Group {
  const T *first, *second;     // in shared memory
  const FlashRow* rows;        // when those are queries
  int left;                    // rows that exist
  std::uint32_t keep[kTiles];  // with dropout: bits as from surviving()
};

// Adds to the gradients of the owned rows what the group contributes.
template <bool kOwnsKeys, bool kDropout, bool kTail, class T, int kTiles, int kDim, bool kInRegisters>
__device__ inline void add_gradients(Owned<T, kTiles, kDim, kInRegisters>& owned,
                                     const Group<T, kTiles>& group, float factor, float survivor) {
  const int pair = static_cast<int>(threadIdx.x) % 4 * 2;
  float scores[kTiles][2][4] = {}, dp[kTiles][2][4] = {};
  multiply_by_rows(owned.first, group.first, 0, scores);
  multiply_by_rows(owned.second, group.second, 0, dp);
  Fragment weights[kTiles], dscores[kTiles];
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
    for (int n = 0; n < 2; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        float &weight = scores[tile][n][i], &dscore = dp[tile][n][i];
        const int column = n * 8 + pair + i % 2;
        const FlashRow row = kOwnsKeys ? group.rows[column] : owned.row[tile][i / 2];
        float p = fast_exp2(fmaf(weight, factor, -row.lse2));
        if (kTail && !kOwnsKeys && column >= group.left) p = 0;
        const float z = !kDropout ? 1 : group.keep[tile] >> (4 * n + i) & 1U ? survivor : 0;
        weight = p * z;
        dscore = p * (dscore * z - row.delta);
      }
    weights[tile] = as_operand<T>(scores[tile][0], scores[tile][1]);
    dscores[tile] = as_operand<T>(dp[tile][0], dp[tile][1]);
  }
  if constexpr (kOwnsKeys) multiply_by_columns<kDim>(weights, group.second, owned.dsecond);
  multiply_by_columns<kDim>(dscores, group.first, owned.dfirst);
}

// Threads: a block of 4 warps owns 64 keys of one head, or 128 queries (64 in heads wider than 64), a warp
// 16 or 32 of them, and steps over the other pair 32 (16) rows at a time, double-buffered as in forward.
// Bound by: tensor cores and shared memory alike where queries are owned, 6 T^2 D flops per head; by
// shared memory where keys are, 8 T^2 D flops, with one fragment per warp.
// Bytes: the owned rows once, 4 D per row and head, and as much for the gradients; from L2 each block
// reads all of the other pair, 4 T D.
template <class T, int kDim, bool kDropout, bool kOwnsKeys>
__global__ void __launch_bounds__(kFlashThreads, kBlocks<kDim, kDropout, kOwnsKeys>)
    flash_backward_kernel(FlashProblem problem, const T* qkv, const T* dy, const FlashRow* rows, T* dqkv,
                          bool accumulate) {
  using Cut = WorkCut<kDim, kOwnsKeys>;
  constexpr int kTiles = Cut::kTiles, kRows = Cut::kRows, kStep = Cut::kStep;
  constexpr int kTileSize = kStep * kTileStride<kDim>;
  T* const shared = dynamic_shared<T>();
  FlashRow* const shared_rows = reinterpret_cast<FlashRow*>(shared + 4 * kTileSize);
  const int tokens = problem.tokens, dim = problem.dim, width = problem.width();
  const int blocks_per_head = (tokens + kRows - 1) / kRows;
  const int head = static_cast<int>(blockIdx.x) / blocks_per_head;
  const int block_row = static_cast<int>(blockIdx.x) % blocks_per_head * kRows;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warp_row = block_row + warp * Cut::kWarpRows;
  const T* const qkv_head = qkv + problem.packed(head);
  const MatrixPair<T> queries{qkv_head, dy + problem.merged(head), 3 * width, width};
  const MatrixPair<T> keys{qkv_head + width, qkv_head + 2 * width, 3 * width, 3 * width};
  rows += std::int64_t{head} * problem.padded_tokens();

  Owned<T, kTiles, kDim, Cut::kInRegisters> owned;
  {
    T* const tiles = Cut::kInRegisters ? shared : reinterpret_cast<T*>(shared_rows + 2 * kStep);
    PairLoader<T, kRows, kDim> loader(kOwnsKeys ? keys : queries, block_row, dim);
    loader.fetch(tokens - block_row);
    loader.put(tiles);
    __syncthreads();
    const T* const mine = tiles + warp * Cut::kWarpRows * kTileStride<kDim>;
    owned.first.load(mine);
    owned.second.load(mine + kRows * kTileStride<kDim>);
    __syncthreads();
  }
  if constexpr (!kOwnsKeys) {
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        owned.row[tile][half] = rows[warp_row + tile * 16 + half * 8 + lane / 4];
  }

  PairLoader<T, kStep, kDim> next(kOwnsKeys ? queries : keys, 0, dim);
  FlashRow next_row;
  const int thread = static_cast<int>(threadIdx.x);
  const auto fetch = [&](int first) {
    next.fetch(tokens - first);
    if (kOwnsKeys && thread < kStep) next_row = rows[first + thread];
  };
  const auto put = [&](int buffer) {
    next.put(shared + buffer * 2 * kTileSize);
    if (kOwnsKeys && thread < kStep) shared_rows[buffer * kStep + thread] = next_row;
  };
  const float factor = problem.scale * kLog2E;
  // One step. The last one (kTail) leaves out the keys that do not exist and fetches no more. The groups are
  // a loop, since overlapping they would need more registers than there are.
  const auto step = [&]<bool kTail>(std::bool_constant<kTail>, int buffer, int first) {
    if constexpr (!kTail) fetch(first + kStep);
    if (warp_row >= tokens) return;
#pragma unroll 1
    for (int column = 0; column < kStep; column += 16) {
      const int left = tokens - first - column;
      if (kTail && left <= 0) break;
      const T* const tile = shared + buffer * 2 * kTileSize + column * kTileStride<kDim>;
      Group<T, kTiles> group{tile, tile + kTileSize, shared_rows + buffer * kStep + column, left, {}};
      if constexpr (kDropout) {
        const FlashMask mask(problem, head);
#pragma unroll
        for (int t = 0; t < kTiles; ++t)
          group.keep[t] = surviving<8>([&](int element) {
            const int own = warp_row + t * 16 + fragment_row(element);
            const int other = first + column + fragment_column(element);
            return kOwnsKeys ? mask.survives(other, own) : mask.survives(own, other);
          });
      }
      add_gradients<kOwnsKeys, kDropout, kTail>(owned, group, factor, problem.survivor);
    }
  };

  fetch(0);
  put(0);
  __syncthreads();
  int first = 0, buffer = 0;
  for (; first + kStep < tokens; first += kStep) {
    step(std::false_type{}, buffer, first);
    buffer ^= 1;
    put(buffer);
    __syncthreads();
  }
  step(std::true_type{}, buffer, first);
  __syncthreads();
  if (warp_row >= tokens) return;

  float* const staging = reinterpret_cast<float*>(shared) + warp * kStagingFloats<kTiles, kDim>;
  T* const dfirst = dqkv + problem.packed(head) + warp_row * 3 * width + (kOwnsKeys ? width : 0);
  store_rows<T, kTiles, kDim>(owned.dfirst, problem.scale, staging, dfirst, 3 * width, tokens - warp_row, dim,
                              accumulate);
  if constexpr (kOwnsKeys)
    store_rows<T, kTiles, kDim>(owned.dsecond, 1, staging, dfirst + width, 3 * width, tokens - warp_row, dim,
                                accumulate);
}

template <class T, int kDim, bool kDropout, bool kOwnsKeys>
void start(const FlashProblem& problem, const Tensor& qkv, const Tensor& rows, const Tensor& dy,
           const Target& dqkv, cudaStream_t stream) {
  using Cut = WorkCut<kDim, kOwnsKeys>;
  // Double buffer and owned tiles, one after the other or both at once, and at last the results.
  constexpr std::size_t kBuffers =
      4 * Cut::kStep * kTileStride<kDim> * sizeof(T) + 2 * Cut::kStep * sizeof(FlashRow);
  constexpr std::size_t kOwned = 2 * Cut::kRows * kTileStride<kDim> * sizeof(T);
  constexpr std::size_t kTiles = Cut::kInRegisters ? std::max(kBuffers, kOwned) : kBuffers + kOwned;
  constexpr std::size_t kResults = kFlashWarps * kStagingFloats<Cut::kTiles, kDim> * sizeof(float);
  const auto blocks = qkv.shape()[0] * problem.heads * ceil_div(problem.tokens, Cut::kRows);
  launch(flash_backward_kernel<T, kDim, kDropout, kOwnsKeys>, static_cast<unsigned>(blocks), kFlashThreads,
         std::max(kTiles, kResults), stream, problem, qkv.data<T>(), dy.data<T>(),
         reinterpret_cast<const FlashRow*>(rows.raw()), dqkv.dst.data<T>(), dqkv.accumulate);
}

// The rows' statistics for both passes. Threads: kLanes neighboring lanes per (padded) token and head,
// which load kSize elements at a time.
// Bound by memory: 2 D elements read and 12 bytes moved per token and head.
template <class T, int kLanes, int kSize>
__global__ void flash_rows_kernel(FlashProblem problem, std::int64_t count, const T* y, const T* dy,
                                  const float* lse, FlashRow* rows) {
  const std::int64_t thread = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x, index = thread / kLanes;
  // Ordered as y is, by image, token and head; the rows are by image, head and token.
  const int tokens = problem.padded_tokens(), token = static_cast<int>(index / problem.heads % tokens);
  const std::int64_t image = index / problem.heads / tokens,
                     head = image * problem.heads + index % problem.heads;
  const bool exists = index < count && token < problem.tokens;
  FlashRow row;
  if (exists) {
    const std::int64_t first =
        (image * problem.tokens + token) * problem.width() + index % problem.heads * problem.dim;
    for (int column = static_cast<int>(thread % kLanes) * kSize; column < problem.dim;
         column += kLanes * kSize) {
      float a[kSize], b[kSize];
      load_floats(y + first + column, a);
      load_floats(dy + first + column, b);
#pragma unroll
      for (int i = 0; i < kSize; ++i) row.delta += a[i] * b[i];
    }
    row.lse2 = lse[head * problem.tokens + token] * kLog2E;
  }
#pragma unroll
  for (int offset = kLanes / 2; offset > 0; offset /= 2)
    row.delta += __shfl_xor_sync(0xffffffffu, row.delta, offset);
  if (thread % kLanes == 0 && index < count) rows[head * tokens + token] = row;
}

template <class T, int kLanes, int kSize>
void start_rows(const FlashProblem& problem, const Tensor& y, const Tensor& dy, const Tensor& lse,
                const Tensor& rows, cudaStream_t stream) {
  constexpr int kThreads = 256;
  const std::int64_t count = rows.numel() / 2;
  launch(flash_rows_kernel<T, kLanes, kSize>, static_cast<unsigned>(ceil_div(count * kLanes, kThreads)),
         kThreads, 0, stream, problem, count, y.data<T>(), dy.data<T>(), lse.data<float>(),
         reinterpret_cast<FlashRow*>(rows.raw()));
}

}  // namespace

void flash_backward(const AttentionParams& params, const Tensor& state, const Tensor& qkv, const Tensor& y,
                    const Tensor& lse, const Tensor& dy, const Target& dqkv, cudaStream_t stream) {
  const FlashProblem problem(params, state, qkv);
  if (!dqkv || qkv.numel() == 0) return;
  const Tensor rows(qkv.backend(), {qkv.shape()[0], problem.heads, problem.padded_tokens(), 2}, DType::f32);
  if (!tensor_cores_fit(problem.dim, qkv, y, dy, dqkv.dst)) {
    dispatch_dtype(qkv.dtype(),
                   [&]<class T>(TypeTag<T>) { start_rows<T, 32, 1>(problem, y, dy, lse, rows, stream); });
    return flash_simt_backward(problem, qkv, rows, dy, dqkv, stream);
  }
  dispatch_flash(qkv.dtype(), problem,
                 [&]<class T, int kDim, bool kDropout>(FlashVariant<T, kDim, kDropout>) {
                   start_rows<T, 8, 8>(problem, y, dy, lse, rows, stream);
                   start<T, kDim, kDropout, true>(problem, qkv, rows, dy, dqkv, stream);
                   start<T, kDim, kDropout, false>(problem, qkv, rows, dy, dqkv, stream);
                 });
}

}  // namespace sagitta::cuda
