// What the flash attention kernels know of the problem: extents, where a head lies in memory, and the dropout
// mask. Passed to every kernel by value.
// Invariant: offsets inside one image fit 32 bits; the offset of an image is computed in 64.
#pragma once
#include <cuda_runtime.h>

#include <cmath>
#include <cstdint>

#include "tensor/backend.h"
#include "tensor/error.h"

namespace sagitta::cuda {

struct FlashProblem {
  int tokens, heads, dim;  // T, H, D
  float scale;
  std::uint32_t drop_below;  // a weight survives when its 24 random bits are at least this; 0: no dropout
  float survivor;            // what surviving weights are multiplied by: 1/(1-p)
  std::uint32_t stream;      // of the mask
  const StepState* state;

  FlashProblem(const AttentionParams& params, const Tensor& step_state, const Tensor& qkv)
      : tokens(static_cast<int>(qkv.shape()[1])),
        heads(params.heads),
        dim(static_cast<int>(qkv.shape()[2] / 3 / params.heads)),
        scale(static_cast<float>(params.scale)),
        drop_below(static_cast<std::uint32_t>(std::ceil(params.dropout * 0x1p24))),
        survivor(static_cast<float>(1 / (1 - params.dropout))),
        stream(params.stream),
        state(step_state ? reinterpret_cast<const StepState*>(step_state.raw()) : nullptr) {
    const std::int64_t image = qkv.shape()[1] * qkv.shape()[2];
    require(image < std::int64_t{1} << 31,
            "attention: qkv has {} elements per image, expected fewer than 2^31", image);
  }

  SAGITTA_HOST_DEVICE int width() const { return heads * dim; }
  SAGITTA_HOST_DEVICE int packed_stride() const { return 3 * heads * dim; }  // between rows of qkv
  // The first element of head h of image b, with head = b*H + h: of q in qkv (k and v follow after width()
  // and 2 width() elements), of y, and of lse.
  SAGITTA_HOST_DEVICE std::int64_t packed(int head) const {
    return std::int64_t{head / heads} * tokens * packed_stride() + head % heads * dim;
  }
  SAGITTA_HOST_DEVICE std::int64_t merged(int head) const {
    return std::int64_t{head / heads} * tokens * width() + head % heads * dim;
  }
  SAGITTA_HOST_DEVICE std::int64_t row(int head) const { return std::int64_t{head} * tokens; }
  // T rounded up so that every tile of queries is whole.
  SAGITTA_HOST_DEVICE int padded_tokens() const { return (tokens + 127) / 128 * 128; }
};

// The dropout mask of one head: which softmax weights survive.
class FlashMask {
 public:
  __device__ FlashMask(const FlashProblem& problem, int head)
      : problem_(problem), head_(head), key_(mask_key(*problem.state, problem.stream)) {}

  __device__ bool survives(int query, int key) const {
    const std::int64_t index = (problem_.row(head_) + query) * problem_.tokens + key;
    return random::bits(key_, static_cast<std::uint64_t>(index)) >> 8 >= problem_.drop_below;
  }

 private:
  const FlashProblem& problem_;
  int head_;
  random::Key key_;
};

// A bit for each of a thread's kElements softmax weights: whether it survives, which survives(element)
// decides. A loop, since the generators of many elements side by side take more registers than the products
// leave.
template <int kElements, class Survives>
__device__ inline std::uint32_t surviving(const Survives& survives) {
  static_assert(kElements <= 32);
  std::uint32_t bits = 0;
#pragma unroll 1
  for (int element = 0; element < kElements; ++element)
    if (survives(element)) bits |= 1U << element;
  return bits;
}

// What backward needs of a query besides q and dy, computed once for all tiles. Every head has
// padded_tokens() of them; those of queries that do not exist make all weights 0.
struct FlashRow {
  float lse2 = INFINITY;  // log2 of the sum of exp of the scaled scores
  float delta = 0;        // sum over D of dy * y: what softmax's backward subtracts from dP
};

// The f32 kernels that take any head dimension and alignment (flash_simt.cu).
void flash_simt_forward(const FlashProblem& problem, const Tensor& qkv, Tensor& y, Tensor& lse,
                        cudaStream_t stream);
void flash_simt_backward(const FlashProblem& problem, const Tensor& qkv, const Tensor& rows, const Tensor& dy,
                         const Target& dqkv, cudaStream_t stream);

inline constexpr float kLog2E = 1.44269504088896340736F;

}  // namespace sagitta::cuda
