// Mean and variance of a row by two block reductions through one buffer. The mistake: no barrier after the
// buffer was read, so that a fast warp writes its part of the second sum before a slow one has read the
// first.
#include <cmath>

#include "cuda/launch.h"
#include "cuda/reduce.cuh"
#include "device_array.h"
#include "faults.h"

namespace sagitta::test {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / cuda::kWarp;

template <bool kFaulty>
__device__ float block_sum(float value, float* partial) {
  const int lane = static_cast<int>(threadIdx.x) % cuda::kWarp;
  value = cuda::warp_sum(value);
  if (lane == 0) partial[threadIdx.x / cuda::kWarp] = value;
  __syncthreads();
  value = cuda::warp_sum(lane < kWarps ? partial[lane] : 0.0F);
  if constexpr (!kFaulty) __syncthreads();
  return value;
}

template <bool kFaulty>
__global__ void moments(const float* x, float* mean_and_variance, int n) {
  __shared__ float partial[kWarps];
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += kThreads) sum += x[i];
  const float mean = block_sum<kFaulty>(sum, partial) / static_cast<float>(n);
  float squares = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += kThreads) squares += (x[i] - mean) * (x[i] - mean);
  const float variance = block_sum<kFaulty>(squares, partial) / static_cast<float>(n);
  if (threadIdx.x == 0) {
    mean_and_variance[0] = mean;
    mean_and_variance[1] = variance;
  }
}

}  // namespace

bool reduction_race(bool faulty) {
  const int n = 1000;
  std::vector<float> values(n);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const DeviceArray<float> x(values), result(2);
  cuda::launch(faulty ? moments<true> : moments<false>, 1, kThreads, 0, nullptr, x.get(), result.get(), n);
  const std::vector<float> found = result.values();
  return std::fabs(found[0] - 499.5F) < 1e-2F && std::fabs(found[1] - 83333.25F) < 1.0F;
}

}  // namespace sagitta::test
