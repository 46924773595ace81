// Multi-head attention, one (image, head) per thread and a block of query rows at a time: the scores of a
// block live in per-thread scratch and are computed again in backward from q, k and the saved log-sum-exp, so
// no T x T tensor is kept (Dao et al., "FlashAttention", 2022, without the online softmax: a row of scores
// fits the cache). Bound by the FMAs.
#include <cmath>
#include <tuple>
#include <utility>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/dispatch.h"
#include "tensor/cpu/dropout_mask.h"
#include "tensor/cpu/fast_math.h"
#include "tensor/cpu/gemm.h"
#include "tensor/cpu/reduce.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

namespace {

constexpr std::int64_t kQueryRows = 2 * kPackedRows;

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

// Turns one row of scores into exp(scale (score - largest)); the softmax is that over the sum, which the
// caller divides out of the short output row instead of the long row of weights. Returns the sum and the
// log-sum-exp of the scaled row.
template <class T>
std::pair<T, T> exponentiate_row(T* row, std::int64_t n, T scale) {
  const T top = largest(row, n);
#pragma omp simd
  for (std::int64_t j = 0; j < n; ++j) row[j] = fast::exp(scale * (row[j] - top));
  const T sum = lane_sum<T>(0, n, [=](std::int64_t j) { return row[j]; });
  return {sum, scale * top + std::log(sum)};
}

}  // namespace

void CpuBackend::attention(const AttentionParams& params, const Tensor& state, const Tensor& qkv, Tensor& y,
                           Tensor& lse) {
  dispatch_floating(qkv.dtype(), [&]<class T>(TypeTag<T>) {
    const Extents e(params, qkv.shape());
    const std::int64_t t = e.tokens, packed_stride = 3 * e.width();
    const random::Key key = mask_key(read_state(state), params.stream);
    const T survivor = static_cast<T>(1 / (1 - params.dropout));
    const std::int64_t block_rows = std::min(kQueryRows, t);
    const ThreadScratch<T> scratch(allocator_, block_scratch<T>() + block_rows * (t + 1));
    parallel_tasks(e.batch * e.heads, [&](std::int64_t task, int thread) {
      const std::int64_t image = task / e.heads, head = task % e.heads;
      const T* q = qkv.data<T>() + e.packed(image, head);
      const T *k = q + e.width(), *v = k + e.width();
      T* const gemm = scratch.of(thread);
      T* const scores = gemm + block_scratch<T>();
      T* const sums = scores + block_rows * t;
      for (std::int64_t begin = 0; begin < t; begin += block_rows) {
        const std::int64_t rows = std::min(block_rows, t - begin);
        multiply_serial<T>({rows, t, e.dim}, rows_of(q + begin * packed_stride, packed_stride),
                           rows_of(k, packed_stride), {scores, t}, false, gemm);
        for (std::int64_t i = 0; i < rows; ++i) {
          T* row = scores + i * t;
          std::tie(sums[i], lse.data<T>()[task * t + begin + i]) =
              exponentiate_row(row, t, static_cast<T>(params.scale));
          if (params.dropout > 0)
            visit_mask(key, static_cast<std::uint64_t>((task * t + begin + i) * t), t, params.dropout,
                       [=](std::int64_t j, bool keep) { row[j] = keep ? row[j] * survivor : T(0); });
        }
        T* const block_y = y.data<T>() + e.merged(image, head) + begin * e.width();
        multiply_serial<T>({rows, e.dim, t}, rows_of(scores, t), columns_of(v, packed_stride),
                           {block_y, e.width()}, false, gemm);
        for (std::int64_t i = 0; i < rows; ++i) {
          const T inverse = 1 / sums[i];
          for (std::int64_t c = 0; c < e.dim; ++c) block_y[i * e.width() + c] *= inverse;
        }
      }
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
    const random::Key key = mask_key(read_state(state), params.stream);
    const T survivor = static_cast<T>(1 / (1 - params.dropout)), scale = static_cast<T>(params.scale);
    const std::int64_t block_rows = std::min(kQueryRows, t);
    const ThreadScratch<T> scratch(allocator_, block_scratch<T>() + 2 * block_rows * t + t);
    parallel_tasks(e.batch * e.heads, [&](std::int64_t task, int thread) {
      const std::int64_t image = task / e.heads, head = task % e.heads;
      const T* q = qkv.data<T>() + e.packed(image, head);
      const T *k = q + width, *v = k + width;
      T* const dq = dqkv.dst.data<T>() + e.packed(image, head);
      T *const dk = dq + width, *const dv = dk + width;
      T* const gemm = scratch.of(thread);
      T* const weights = gemm + block_scratch<T>();   // P, then P Z
      T* const gradients = weights + block_rows * t;  // dY V^T, then dS
      T* const mask = gradients + block_rows * t;     // one row of Z
      std::fill_n(mask, t, T(1));
      for (std::int64_t begin = 0; begin < t; begin += block_rows) {
        const std::int64_t rows = std::min(block_rows, t - begin);
        const bool add = dqkv.accumulate || begin > 0;
        const T* block_q = q + begin * packed_stride;
        const T* block_dy = dy.data<T>() + e.merged(image, head) + begin * width;
        const T* block_y = y.data<T>() + e.merged(image, head) + begin * width;
        multiply_serial<T>({rows, t, e.dim}, rows_of(block_q, packed_stride), rows_of(k, packed_stride),
                           {weights, t}, false, gemm);
        multiply_serial<T>({rows, t, e.dim}, rows_of(block_dy, width), rows_of(v, packed_stride),
                           {gradients, t}, false, gemm);
        for (std::int64_t i = 0; i < rows; ++i) {
          T *w = weights + i * t, *g = gradients + i * t;
          const T log_sum = lse.data<T>()[task * t + begin + i];
          const T mean = lane_sum<T>(i * width, i * width + e.dim,
                                     [=](std::int64_t d) { return block_dy[d] * block_y[d]; });
          if (params.dropout > 0)
            visit_mask(key, static_cast<std::uint64_t>((task * t + begin + i) * t), t, params.dropout,
                       [=](std::int64_t j, bool keep) { mask[j] = keep ? survivor : T(0); });
#pragma omp simd
          for (std::int64_t j = 0; j < t; ++j) {
            const T p = fast::exp(scale * w[j] - log_sum);
            w[j] = p * mask[j];
            g[j] = scale * p * (g[j] * mask[j] - mean);
          }
        }
        multiply_serial<T>({t, e.dim, rows}, columns_of(weights, t), columns_of(block_dy, width),
                           {dv, packed_stride}, add, gemm);
        multiply_serial<T>({rows, e.dim, t}, rows_of(gradients, t), columns_of(k, packed_stride),
                           {dq + begin * packed_stride, packed_stride}, dqkv.accumulate, gemm);
        multiply_serial<T>({t, e.dim, rows}, columns_of(gradients, t), columns_of(block_q, packed_stride),
                           {dk, packed_stride}, add, gemm);
      }
    });
  });
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
