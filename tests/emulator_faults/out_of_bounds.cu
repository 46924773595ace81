// A kernel that moves four elements at once. The mistake: it asks whether the first of the four exists, and
// reads all of them.
#include <algorithm>

#include "cuda/launch.h"
#include "device_array.h"
#include "faults.h"

namespace sagitta::test {
namespace {

template <bool kFaulty>
__global__ void doubled(const float* x, float* y, int n) {
  const int first = 4 * static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (first + (kFaulty ? 0 : 3) < n) {
    const float4 four = *reinterpret_cast<const float4*>(x + first);
    const float values[] = {four.x, four.y, four.z, four.w};
    for (int i = 0; i < 4 && first + i < n; ++i) y[first + i] = 2.0F * values[i];
  } else {
    for (int i = first; i < n; ++i) y[i] = 2.0F * x[i];
  }
}

}  // namespace

bool out_of_bounds(bool faulty) {
  const int n = 1001;
  const DeviceArray<float> x(std::vector<float>(n, 3.0F)), y(n);
  cuda::launch(faulty ? doubled<true> : doubled<false>, 2, 128, 0, nullptr, x.get(), y.get(), n);
  const std::vector<float> result = y.values();
  return std::all_of(result.begin(), result.end(), [](float value) { return value == 6.0F; });
}

}  // namespace sagitta::test
