// Sums and maxima over a warp and over a block. The order of additions is fixed, so results are the same bits
// in every run.
#pragma once
#include <cuda_runtime.h>

namespace sagitta::cuda {

inline constexpr int kWarp = 32;

// Butterfly: after log2(32) exchanges every lane holds the result. All 32 lanes must take part.
__device__ inline float warp_sum(float value) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

__device__ inline float warp_max(float value) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2)
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, offset));
  return value;
}

// Sum over a one-dimensional block of kThreads threads; every thread receives it. May be called repeatedly:
// the barrier at the end keeps a following call from overwriting what a slow warp still reads.
template <int kThreads>
__device__ inline float block_sum(float value) {
  static_assert(kThreads % kWarp == 0 && kThreads <= 1024);
  __shared__ float partial[kThreads / kWarp];
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  value = warp_sum(value);
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  value = warp_sum(lane < kThreads / kWarp ? partial[lane] : 0.0F);
  __syncthreads();
  return value;
}

}  // namespace sagitta::cuda
