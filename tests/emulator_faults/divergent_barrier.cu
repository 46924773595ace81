// Differences of neighbors, tile by tile. The mistake: each thread leaves the loop when its own elements are
// done, while others still wait for it at the barriers inside.
#include "cuda/launch.h"
#include "device_array.h"
#include "faults.h"

namespace sagitta::test {
namespace {

constexpr int kThreads = 128;

template <bool kFaulty>
__global__ void differences(const float* x, float* y, float* last, int n) {
  __shared__ float tile[kThreads];
  const int thread = static_cast<int>(threadIdx.x);
  for (int begin = 0; begin < n; begin += kThreads) {
    const int i = begin + thread;
    if (kFaulty && i >= n) break;
    if (i < n) tile[thread] = x[i];
    __syncthreads();
    if (i < n) y[i] = thread == 0 ? 0.0F : tile[thread] - tile[thread - 1];
    __syncthreads();
  }
  if (thread == 0) *last = tile[0];
  __syncthreads();
  tile[thread] = 0;
}

}  // namespace

bool divergent_barrier(bool faulty) {
  const int n = 300;
  std::vector<float> values(n);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * i);
  const DeviceArray<float> x(values), y(values.size()), last(1);
  cuda::launch(faulty ? differences<true> : differences<false>, 1, kThreads, 0, nullptr, x.get(), y.get(),
               last.get(), n);
  const std::vector<float> result = y.values();
  bool right = last.values()[0] == values[256];
  for (std::size_t i = 0; i < result.size(); ++i)
    right &= result[i] == (i % kThreads == 0 ? 0.0F : values[i] - values[i - 1]);
  return right;
}

}  // namespace sagitta::test
