// Attention forward and backward without tensor cores: for f32, and for what the tensor-core kernels do not
// take. The algorithms are those of flash_forward.cu and flash_backward.cu; here is how the products are made
// of ordinary multiply-adds, in f32.
//
// A block of 128 threads works on a tile of 64 rows by 64 or 32 columns of scores. Thread (y, x) of its 8 x
// 16 threads owns the elements in rows y, y + 8, .. and columns x, x + 16, ..: for 8 x 4 elements and four
// terms of each it reads 12 times 16 bytes from shared memory and does 128 multiply-adds. Heads are taken 64
// dimensions at a time, so that any width fits: a block makes the results of one such chunk, from scores that
// it sums over all of them. Wider heads thus compute scores more than once, but keep every sum of results in
// registers.
#include <algorithm>
#include <cmath>

#include "cuda/flash_attention.h"
#include "cuda/flash_problem.cuh"
#include "cuda/launch.h"
#include "cuda/pack.cuh"
#include "cuda/types.cuh"

namespace sagitta::cuda {

namespace {

constexpr int kThreadRows = 8, kThreadColumns = 16, kThreads = kThreadRows * kThreadColumns;
constexpr int kRows = 64;    // owned by a block, 8 per thread
constexpr int kChunk = 64;   // dimensions, 4 per thread in results
constexpr int kStride = 68;  // floats between rows of a chunk in shared memory: 4 banks further each time

__device__ inline int thread_row() { return static_cast<int>(threadIdx.x) / kThreadColumns; }
__device__ inline int thread_column() { return static_cast<int>(threadIdx.x) % kThreadColumns; }

// A matrix [rows, dim] of one head in global memory.
template <class T>
struct HeadMatrix {
  T* data;
  int stride, rows, dim;
};

// Brings kCount rows of a chunk to shared memory, as floats; what does not exist becomes 0. packed: all rows
// begin at multiples of four elements.
template <int kCount, class T>
__device__ inline void load_chunk(const HeadMatrix<const T>& source, int first_row, int chunk, bool packed,
                                  float* tile) {
  for (int pack = static_cast<int>(threadIdx.x); pack < kCount * kChunk / 4; pack += kThreads) {
    const int row = pack / (kChunk / 4), column = pack % (kChunk / 4) * 4,
              dimension = chunk * kChunk + column;
    float values[4] = {};
    if (first_row + row < source.rows && dimension < source.dim)
      load_floats(source.data + (first_row + row) * source.stride + dimension, source.dim - dimension, packed,
                  values);
    store_floats(tile + row * kStride + column, values);
  }
}

// Writes or adds a thread's 8 x 4 results of a chunk, times factor; its columns are neighbors here.
template <class T>
__device__ inline void store_chunk(const float (&c)[8][4], float factor, const HeadMatrix<T>& destination,
                                   int first_row, int chunk, bool packed, bool accumulate) {
  const int dimension = chunk * kChunk + thread_column() * 4, left = destination.dim - dimension;
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int row = first_row + thread_row() + i * kThreadRows;
    if (row >= destination.rows || left <= 0) continue;
    T* const elements = destination.data + row * destination.stride + dimension;
    float values[4] = {};
    if (accumulate) load_floats(elements, left, packed, values);
#pragma unroll
    for (int j = 0; j < 4; ++j) values[j] += c[i][j] * factor;
    store_floats(elements, left, packed, values);
  }
}

// c[i][j] += row y + 8 i of a times row x + 16 j of b, over one chunk.
template <int kColumns>
__device__ inline void multiply_by_rows(const float* a, const float* b, float (&c)[8][kColumns]) {
  a += thread_row() * kStride;
  b += thread_column() * kStride;
#pragma unroll 2
  for (int k = 0; k < kChunk; k += 4) {
    float4 right[kColumns];
#pragma unroll
    for (int j = 0; j < kColumns; ++j)
      right[j] = *reinterpret_cast<const float4*>(b + j * kThreadColumns * kStride + k);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float4 left = *reinterpret_cast<const float4*>(a + i * kThreadRows * kStride + k);
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
        c[i][j] = fmaf(left.w, right[j].w,
                       fmaf(left.z, right[j].z, fmaf(left.y, right[j].y, fmaf(left.x, right[j].x, c[i][j]))));
    }
  }
}

// c[i][j] += row y + 8 i of a [64, kTerms] times column 4 x + j of b [kTerms, 64].
template <int kTerms, int kStrideA>
__device__ inline void multiply_by_columns(const float* a, const float* b, float (&c)[8][4]) {
  a += thread_row() * kStrideA;
  b += thread_column() * 4;
#pragma unroll 2
  for (int k = 0; k < kTerms; k += 4) {
    float4 right[4];
#pragma unroll
    for (int term = 0; term < 4; ++term)
      right[term] = *reinterpret_cast<const float4*>(b + (k + term) * kStride);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const float4 left = *reinterpret_cast<const float4*>(a + i * kThreadRows * kStrideA + k);
      const float terms[4] = {left.x, left.y, left.z, left.w};
#pragma unroll
      for (int term = 0; term < 4; ++term) {
        c[i][0] = fmaf(terms[term], right[term].x, c[i][0]);
        c[i][1] = fmaf(terms[term], right[term].y, c[i][1]);
        c[i][2] = fmaf(terms[term], right[term].z, c[i][2]);
        c[i][3] = fmaf(terms[term], right[term].w, c[i][3]);
      }
    }
  }
}

// A thread's elements of a tile of scores to shared memory, as left operand of the next product.
template <int kColumns, int kStrideA>
__device__ inline void put_scores(const float (&c)[8][kColumns], float* tile) {
#pragma unroll
  for (int i = 0; i < 8; ++i)
#pragma unroll
    for (int j = 0; j < kColumns; ++j)
      tile[(thread_row() + i * kThreadRows) * kStrideA + thread_column() + j * kThreadColumns] = c[i][j];
}

// Over the 16 threads that share a row.
__device__ inline float row_max(float value) {
#pragma unroll
  for (int offset = kThreadColumns / 2; offset > 0; offset /= 2)
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, offset));
  return value;
}
__device__ inline float row_sum(float value) {
#pragma unroll
  for (int offset = kThreadColumns / 2; offset > 0; offset /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

// A bit for each of a thread's 8 x kColumns scores: whether the mask lets the weight of (row, column)
// survive. All do without dropout.
template <int kColumns, class Survives>
__device__ inline std::uint32_t surviving_scores(const FlashProblem& problem, const Survives& survives) {
  if (problem.drop_below == 0) return ~0U;
  return surviving<8 * kColumns>([&](int element) {
    return survives(thread_row() + element / kColumns * kThreadRows,
                    thread_column() + element % kColumns * kThreadColumns);
  });
}

// Which part of the results a block makes.
struct BlockTask {
  int head, first_row, chunk, chunks;
  __device__ explicit BlockTask(const FlashProblem& problem) {
    const int index = static_cast<int>(blockIdx.x), row_blocks = (problem.tokens + kRows - 1) / kRows;
    chunks = (problem.dim + kChunk - 1) / kChunk;
    chunk = index % chunks;
    first_row = index / chunks % row_blocks * kRows;
    head = index / chunks / row_blocks;
  }
};

unsigned block_count(const FlashProblem& problem, const Tensor& qkv) {
  return static_cast<unsigned>(qkv.shape()[0] * problem.heads * ceil_div(problem.tokens, kRows) *
                               ceil_div(problem.dim, kChunk));
}

// Whether packs of four elements may be moved.
template <class T, class... Tensors>
bool packs_of_four_fit(const FlashProblem& problem, const Tensors&... tensors) {
  return problem.dim % 4 == 0 && aligned<4 * sizeof(T)>(tensors...);
}

// Threads: a block makes 64 rows of y in one chunk of a head, and steps over the keys 64 at a time.
// Bound by: the multiply-add units, 4 T^2 D flops per head (D rounded up to 64) and 2 T^2 D more for every
// chunk beyond the first.
// Bytes: as in flash_forward.cu, and each block reads all keys and values from L2.
template <class T>
__global__ void __launch_bounds__(kThreads, 3)
    simt_forward_kernel(FlashProblem problem, bool packed, const T* qkv, T* y, float* lse) {
  constexpr int kKeys = 64;
  float* const queries = dynamic_shared<float>();
  float* const keys = queries + kRows * kStride;  // or values
  float* const weights = keys + kKeys * kStride;
  const BlockTask task(problem);
  const int tokens = problem.tokens, dim = problem.dim, width = problem.width();
  const HeadMatrix<const T> q{qkv + problem.packed(task.head), 3 * width, tokens, dim};
  const HeadMatrix<const T> k{q.data + width, 3 * width, tokens, dim};
  const HeadMatrix<const T> v{k.data + width, 3 * width, tokens, dim};
  const float factor = problem.scale * kLog2E;

  float output[8][4] = {}, top[8], sum[8] = {};
#pragma unroll
  for (float& value : top) value = -INFINITY;
  for (int first = 0; first < tokens; first += kKeys) {
    float scores[8][4] = {};
    for (int chunk = 0; chunk < task.chunks; ++chunk) {
      __syncthreads();
      if (task.chunks > 1 || first == 0) load_chunk<kRows>(q, task.first_row, chunk, packed, queries);
      load_chunk<kKeys>(k, first, chunk, packed, keys);
      __syncthreads();
      multiply_by_rows(queries, keys, scores);
    }
    const std::uint32_t keep = surviving_scores<4>(problem, [&](int row, int column) {
      return FlashMask(problem, task.head).survives(task.first_row + row, first + column);
    });
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      float highest = top[i];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (first + thread_column() + j * kThreadColumns >= tokens) scores[i][j] = -INFINITY;
        highest = fmaxf(highest, scores[i][j]);
      }
      highest = row_max(highest);
      const float rescale = exp2f((top[i] - highest) * factor);
      top[i] = highest;
      sum[i] *= rescale;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        scores[i][j] = exp2f((scores[i][j] - highest) * factor);
        sum[i] += scores[i][j];
        scores[i][j] *= keep >> (4 * i + j) & 1U ? problem.survivor : 0;
        output[i][j] *= rescale;
      }
    }
    put_scores<4, kStride>(scores, weights);
    __syncthreads();
    load_chunk<kKeys>(v, first, task.chunk, packed, keys);
    __syncthreads();
    multiply_by_columns<kKeys, kStride>(weights, keys, output);
  }

#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int row = task.first_row + thread_row() + i * kThreadRows;
    sum[i] = row_sum(sum[i]);
    if (task.chunk == 0 && thread_column() == 0 && row < tokens)
      lse[problem.row(task.head) + row] = top[i] * problem.scale + logf(sum[i]);
#pragma unroll
    for (int j = 0; j < 4; ++j) output[i][j] /= sum[i];
  }
  store_chunk<T>(output, 1, {y + problem.merged(task.head), width, tokens, dim}, task.first_row, task.chunk,
                 packed, false);
}

// Owned pair and other pair as in flash_backward.cu.
// Threads: a block makes 64 rows of gradients in one chunk of a head, and steps over the other pair 32
// rows at a time.
// Bound by: the multiply-add units, 8 T^2 D flops per head where keys are owned and 6 where queries are; 4
// T^2 D more of either for every chunk beyond the first.
template <class T, bool kOwnsKeys>
__global__ void __launch_bounds__(kThreads, 2)
    simt_backward_kernel(FlashProblem problem, bool packed, const T* qkv, const T* dy, const FlashRow* rows,
                         T* dqkv, bool accumulate) {
  constexpr int kStep = 32, kColumns = kStep / kThreadColumns, kScoreStride = kStep + 4;
  float* const own_first = dynamic_shared<float>();
  float* const own_second = own_first + kRows * kStride;
  float* const other_first = own_second + kRows * kStride;
  float* const other_second = other_first + kStep * kStride;
  float* const weights = other_second + kStep * kStride;
  float* const dscores = weights + kRows * kScoreStride;
  const BlockTask task(problem);
  const int tokens = problem.tokens, dim = problem.dim, width = problem.width();
  const HeadMatrix<const T> q{qkv + problem.packed(task.head), 3 * width, tokens, dim};
  const HeadMatrix<const T> k{q.data + width, 3 * width, tokens, dim};
  const HeadMatrix<const T> v{k.data + width, 3 * width, tokens, dim};
  const HeadMatrix<const T> gradient{dy + problem.merged(task.head), width, tokens, dim};
  rows += std::int64_t{task.head} * problem.padded_tokens();
  const float factor = problem.scale * kLog2E;

  float dfirst[8][4] = {}, dsecond[8][4] = {};
  for (int first = 0; first < tokens; first += kStep) {
    float scores[8][kColumns] = {}, dp[8][kColumns] = {};
    for (int i = 1; i <= task.chunks; ++i) {
      const int chunk = (task.chunk + i) % task.chunks;  // ends with the chunk whose results are made
      __syncthreads();
      if (task.chunks > 1 || first == 0) {
        load_chunk<kRows>(kOwnsKeys ? k : q, task.first_row, chunk, packed, own_first);
        load_chunk<kRows>(kOwnsKeys ? v : gradient, task.first_row, chunk, packed, own_second);
      }
      load_chunk<kStep>(kOwnsKeys ? q : k, first, chunk, packed, other_first);
      load_chunk<kStep>(kOwnsKeys ? gradient : v, first, chunk, packed, other_second);
      __syncthreads();
      multiply_by_rows(own_first, other_first, scores);
      multiply_by_rows(own_second, other_second, dp);
    }
    const std::uint32_t keep = surviving_scores<kColumns>(problem, [&](int row, int column) {
      const FlashMask mask(problem, task.head);
      return kOwnsKeys ? mask.survives(first + column, task.first_row + row)
                       : mask.survives(task.first_row + row, first + column);
    });
#pragma unroll
    for (int i = 0; i < 8; ++i)
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        const int own = task.first_row + thread_row() + i * kThreadRows;
        const int other = first + thread_column() + j * kThreadColumns;
        const int query = kOwnsKeys ? other : own, key = kOwnsKeys ? own : other;
        const FlashRow row = rows[query];
        const float p = key < tokens ? exp2f(fmaf(scores[i][j], factor, -row.lse2)) : 0;
        const float z = keep >> (kColumns * i + j) & 1U ? problem.survivor : 0;
        scores[i][j] = p * z;
        dp[i][j] = p * (dp[i][j] * z - row.delta);
      }
    if constexpr (kOwnsKeys) put_scores<kColumns, kScoreStride>(scores, weights);
    put_scores<kColumns, kScoreStride>(dp, dscores);
    __syncthreads();
    if constexpr (kOwnsKeys) multiply_by_columns<kStep, kScoreStride>(weights, other_second, dsecond);
    multiply_by_columns<kStep, kScoreStride>(dscores, other_first, dfirst);
  }

  T* const destination = dqkv + problem.packed(task.head) + (kOwnsKeys ? width : 0);
  store_chunk<T>(dfirst, problem.scale, {destination, 3 * width, tokens, dim}, task.first_row, task.chunk,
                 packed, accumulate);
  if constexpr (kOwnsKeys)
    store_chunk<T>(dsecond, 1, {destination + width, 3 * width, tokens, dim}, task.first_row, task.chunk,
                   packed, accumulate);
}

}  // namespace

void flash_simt_forward(const FlashProblem& problem, const Tensor& qkv, Tensor& y, Tensor& lse,
                        cudaStream_t stream) {
  dispatch_dtype(qkv.dtype(), [&]<class T>(TypeTag<T>) {
    launch(simt_forward_kernel<T>, block_count(problem, qkv), kThreads, 3 * kRows * kStride * sizeof(float),
           stream, problem, packs_of_four_fit<T>(problem, qkv, y), qkv.data<T>(), y.data<T>(),
           lse.data<float>());
  });
}

void flash_simt_backward(const FlashProblem& problem, const Tensor& qkv, const Tensor& rows, const Tensor& dy,
                         const Target& dqkv, cudaStream_t stream) {
  constexpr std::size_t kSharedBytes =
      (2 * 64 + 2 * 32) * kStride * sizeof(float) + 2 * 64 * 36 * sizeof(float);
  dispatch_dtype(qkv.dtype(), [&]<class T>(TypeTag<T>) {
    const bool packed = packs_of_four_fit<T>(problem, qkv, dy, dqkv.dst);
    const auto start = [&](auto* kernel) {
      launch(kernel, block_count(problem, qkv), kThreads, kSharedBytes, stream, problem, packed,
             qkv.data<T>(), dy.data<T>(), reinterpret_cast<const FlashRow*>(rows.raw()), dqkv.dst.data<T>(),
             dqkv.accumulate);
    };
    start(simt_backward_kernel<T, true>);
    start(simt_backward_kernel<T, false>);
  });
}

}  // namespace sagitta::cuda
