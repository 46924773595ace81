// Multi-head attention, one (image, head) per thread and a block of queries by keys at a time: its scores
// live in per-thread scratch that fits the L2 cache. Forward keeps a running largest score and sum per query
// (the online softmax of Dao et al., "FlashAttention", 2022); backward computes the scores again from q, k
// and the saved log-sum-exp. No T x T tensor exists. Bound by the FMAs:
// 66 to 70 % of their peak forward, where exponentials and packing take a quarter, and 78 to 80 % backward
// (577 tokens, heads of 64).
#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/dispatch.h"
#include "tensor/cpu/dropout_mask.h"
#include "tensor/cpu/fast_math.h"
#include "tensor/cpu/gemm.h"
#include "tensor/cpu/reduce.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

namespace {

constexpr std::int64_t kQueryRows = 3 * kPackedRows, kMostKeys = 640;  // of a block

// [0, tokens) in nearly equal blocks of at most `most`.
struct TokenBlocks {
  std::int64_t tokens, count, longest;
  TokenBlocks(std::int64_t all, std::int64_t most)
      : tokens(all), count(ceil_div(all, most)), longest(ceil_div(all, std::max<std::int64_t>(1, count))) {}
  // Elements from one row of scores, one for each token of a block, to the next: whole cache lines.
  std::int64_t stride() const { return round_up(longest, 16); }
  // Calls f(begin, extent) block by block.
  template <class F>
  void visit(const F& f) const {
    for (std::int64_t begin = 0; begin < tokens; begin += longest)
      f(begin, std::min(longest, tokens - begin));
  }
};

// C (+)= A B on the calling thread, for any extents.
template <class T, class A, class B>
void multiply_serial(const GemmExtents& extents, const A& a, const B& b, const OutputRows<T>& c,
                     bool accumulate, T* scratch) {
  for (std::int64_t i = 0; i < extents.m; i += kBlockRows)
    for (std::int64_t j = 0; j < extents.n; j += kBlockColumns)
      multiply_block(Block{i, std::min(extents.m, i + kBlockRows), j, std::min(extents.n, j + kBlockColumns)},
                     0, extents.k, a, OwnPanels<T, B>{b}, c, accumulate, scratch);
}

struct Extents {
  std::int64_t batch, tokens, heads, dim;
  explicit Extents(const AttentionParams& params, const Shape& qkv)
      : batch(qkv[0]), tokens(qkv[1]), heads(params.heads), dim(qkv[2] / 3 / params.heads) {}
  std::int64_t width() const { return heads * dim; }
  // Offset of q of (image, head) in qkv; k and v follow after width() and 2 width() elements.
  std::int64_t packed(std::int64_t image, std::int64_t head) const {
    return image * tokens * 3 * width() + head * dim;
  }
  std::int64_t merged(std::int64_t image, std::int64_t head) const {
    return image * tokens * width() + head * dim;
  }
};

// The dropout mask of the weights [batch * heads, tokens, tokens].
struct WeightMask {
  random::Key key;
  double p;
  std::int64_t tokens;
  WeightMask(const AttentionParams& params, const Tensor& state, const Extents& e)
      : key(mask_key(read_state(state), params.stream)), p(params.dropout), tokens(e.tokens) {}
  // Calls f(j, keep) for weight begin + j of a row, j in [0, n), unless all are kept.
  template <class Visit>
  void visit(std::int64_t row, std::int64_t begin, std::int64_t n, const Visit& f) const {
    if (p > 0) visit_mask(key, static_cast<std::uint64_t>(row * tokens + begin), n, p, f);
  }
};

template <class T>
AlongRows<Matrix<T>> rows_of(const T* data, std::int64_t stride) {
  return {{data, stride}};
}
template <class T>
AlongColumns<Matrix<T>> columns_of(const T* data, std::int64_t stride) {
  return {{data, stride}};
}

// The largest of n > 0 numbers. In vectors by hand: the compiler keeps a maximum scalar, for the sake of NaN.
template <class T>
T largest(const T* row, std::int64_t n) {
  constexpr int kLanes = Simd<T>::kLanes;
  typename Simd<T>::Vector lanes = row[0] - typename Simd<T>::Vector{};
  std::int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) {
    const typename Simd<T>::Vector next = *reinterpret_cast<const typename Simd<T>::Unaligned*>(row + j);
    lanes = next > lanes ? next : lanes;
  }
  T top = row[0];
  for (int lane = 0; lane < kLanes; ++lane) top = std::max(top, lanes[lane]);
  for (; j < n; ++j) top = std::max(top, row[j]);
  return top;
}

// The softmax of one query's scores so far: their largest, and the sum of exp(scale (score - largest)).
template <class T>
struct RunningSoftmax {
  T top, sum;
  // Turns the next scores into exp(scale (score - largest of all so far)). Returns what everything that came
  // before, the output row included, is to be multiplied by.
  T add(T* scores, std::int64_t n, T scale) {
    const T next = largest(scores, n), before = std::max(top, next);
    const T correction = std::exp(scale * (top - before));
    top = before;
#pragma omp simd
    for (std::int64_t j = 0; j < n; ++j) scores[j] = fast::exp(scale * (scores[j] - before));
    sum = sum * correction + lane_sum<T>(0, n, [=](std::int64_t j) { return scores[j]; });
    return correction;
  }
  T log_sum(T scale) const { return scale * top + std::log(sum); }
};

template <class T>
void scale_row(T* row, std::int64_t n, T factor) {
  for (std::int64_t c = 0; c < n; ++c) row[c] *= factor;
}

}  // namespace

void CpuBackend::attention(const AttentionParams& params, const Tensor& state, const Tensor& qkv, Tensor& y,
                           Tensor& lse) {
  dispatch_floating(qkv.dtype(), [&]<class T>(TypeTag<T>) {
    const Extents e(params, qkv.shape());
    const std::int64_t t = e.tokens, packed_stride = 3 * e.width();
    const WeightMask weight_mask(params, state, e);
    const T survivor = static_cast<T>(1 / (1 - params.dropout));
    const T scale = static_cast<T>(params.scale);
    const TokenBlocks queries(t, kQueryRows), keys(t, kMostKeys);
    const Scratch<RunningSoftmax<T>> softmaxes(allocator_, queries.longest * ThreadPool::instance().size());
    const ThreadScratch<T> scratch(allocator_, block_scratch<T>() + queries.longest * keys.stride());
    parallel_tasks(e.batch * e.heads, [&](std::int64_t task, int thread) {
      const std::int64_t image = task / e.heads, head = task % e.heads;
      const T* q = qkv.data<T>() + e.packed(image, head);
      const T *k = q + e.width(), *v = k + e.width();
      T* const gemm = scratch.of(thread);
      T* const scores = gemm + block_scratch<T>();
      RunningSoftmax<T>* const softmax = softmaxes.data() + thread * queries.longest;
      queries.visit([&](std::int64_t begin, std::int64_t rows) {
        T* const block_y = y.data<T>() + e.merged(image, head) + begin * e.width();
        std::fill_n(softmax, rows, RunningSoftmax<T>{std::numeric_limits<T>::lowest(), 0});
        keys.visit([&](std::int64_t key, std::int64_t columns) {
          multiply_serial<T>({rows, columns, e.dim}, rows_of(q + begin * packed_stride, packed_stride),
                             rows_of(k + key * packed_stride, packed_stride), {scores, keys.stride()}, false,
                             gemm);
          for (std::int64_t i = 0; i < rows; ++i) {
            T* const row = scores + i * keys.stride();
            const T correction = softmax[i].add(row, columns, scale);
            if (key > 0) scale_row(block_y + i * e.width(), e.dim, correction);
            weight_mask.visit(task * t + begin + i, key, columns,
                              [=](std::int64_t j, bool keep) { row[j] = keep ? row[j] * survivor : T(0); });
          }
          multiply_serial<T>({rows, e.dim, columns}, rows_of(scores, keys.stride()),
                             columns_of(v + key * packed_stride, packed_stride), {block_y, e.width()},
                             key > 0, gemm);
        });
        for (std::int64_t i = 0; i < rows; ++i) {
          scale_row(block_y + i * e.width(), e.dim, 1 / softmax[i].sum);
          lse.data<T>()[task * t + begin + i] = softmax[i].log_sum(scale);
        }
      });
    });
  });
}

// With P the softmax, Z the scaled dropout mask and W = P Z:  dV = W^T dY,  dP = Z (dY V^T),
// dS = scale P (dP - rowsum(dY Y)),  dQ = dS K,  dK = dS^T Q.
void CpuBackend::attention_backward(const AttentionParams& params, const Tensor& state, const Tensor& qkv,
                                    const Tensor& y, const Tensor& lse, const Tensor& dy,
                                    const Target& dqkv) {
  if (!dqkv) return;
  dispatch_floating(qkv.dtype(), [&]<class T>(TypeTag<T>) {
    const Extents e(params, qkv.shape());
    const std::int64_t t = e.tokens, width = e.width(), packed_stride = 3 * width;
    const WeightMask weight_mask(params, state, e);
    const T survivor = static_cast<T>(1 / (1 - params.dropout)), scale = static_cast<T>(params.scale);
    const TokenBlocks queries(t, kQueryRows), keys(t, kMostKeys);
    const std::int64_t block = queries.longest * keys.stride();
    const ThreadScratch<T> scratch(allocator_,
                                   block_scratch<T>() + 2 * block + queries.longest + keys.longest);
    parallel_tasks(e.batch * e.heads, [&](std::int64_t task, int thread) {
      const std::int64_t image = task / e.heads, head = task % e.heads;
      const T* q = qkv.data<T>() + e.packed(image, head);
      const T *k = q + width, *v = k + width;
      T* const dq = dqkv.dst.data<T>() + e.packed(image, head);
      T *const dk = dq + width, *const dv = dk + width;
      T* const gemm = scratch.of(thread);
      T* const weights = gemm + block_scratch<T>();  // P, then P Z
      T* const gradients = weights + block;          // dY V^T, then dS
      T* const means = gradients + block;            // rowsum(dY Y)
      T* const mask = means + queries.longest;       // one row of Z
      std::fill_n(mask, keys.longest, T(1));
      queries.visit([&](std::int64_t begin, std::int64_t rows) {
        const bool add = dqkv.accumulate || begin > 0;
        const T* block_q = q + begin * packed_stride;
        const T* block_dy = dy.data<T>() + e.merged(image, head) + begin * width;
        const T* block_y = y.data<T>() + e.merged(image, head) + begin * width;
        for (std::int64_t i = 0; i < rows; ++i)
          means[i] = lane_sum<T>(i * width, i * width + e.dim,
                                 [=](std::int64_t d) { return block_dy[d] * block_y[d]; });
        keys.visit([&](std::int64_t key, std::int64_t columns) {
          const std::int64_t first = key * packed_stride;
          multiply_serial<T>({rows, columns, e.dim}, rows_of(block_q, packed_stride),
                             rows_of(k + first, packed_stride), {weights, keys.stride()}, false, gemm);
          multiply_serial<T>({rows, columns, e.dim}, rows_of(block_dy, width),
                             rows_of(v + first, packed_stride), {gradients, keys.stride()}, false, gemm);
          for (std::int64_t i = 0; i < rows; ++i) {
            T *w = weights + i * keys.stride(), *g = gradients + i * keys.stride();
            const std::int64_t query = task * t + begin + i;
            const T log_sum = lse.data<T>()[query], mean = means[i];
            weight_mask.visit(query, key, columns,
                              [=](std::int64_t j, bool keep) { mask[j] = keep ? survivor : T(0); });
#pragma omp simd
            for (std::int64_t j = 0; j < columns; ++j) {
              const T p = fast::exp(scale * w[j] - log_sum);
              w[j] = p * mask[j];
              g[j] = scale * p * (g[j] * mask[j] - mean);
            }
          }
          multiply_serial<T>({columns, e.dim, rows}, columns_of(weights, keys.stride()),
                             columns_of(block_dy, width), {dv + first, packed_stride}, add, gemm);
          multiply_serial<T>({rows, e.dim, columns}, rows_of(gradients, keys.stride()),
                             columns_of(k + first, packed_stride),
                             {dq + begin * packed_stride, packed_stride}, dqkv.accumulate || key > 0, gemm);
          multiply_serial<T>({columns, e.dim, rows}, columns_of(gradients, keys.stride()),
                             columns_of(block_q, packed_stride), {dk + first, packed_stride}, add, gemm);
        });
      });
    });
  });
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
