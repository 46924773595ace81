// A transpose through a tile of shared memory. The mistake: no barrier between writing the tile and reading
// it.
#include "cuda/launch.h"
#include "device_array.h"
#include "faults.h"

namespace sagitta::test {
namespace {

constexpr int kTile = 32, kRows = 8;

template <bool kFaulty>
__global__ void transpose(const float* x, float* y, int height, int width) {
  __shared__ float tile[kTile][kTile + 1];
  const int left = static_cast<int>(blockIdx.x) * kTile, top = static_cast<int>(blockIdx.y) * kTile;
  const int column = static_cast<int>(threadIdx.x), first = static_cast<int>(threadIdx.y);
  for (int row = first; row < kTile; row += kRows)
    if (left + column < width && top + row < height)
      tile[row][column] = x[(top + row) * width + left + column];
  if constexpr (!kFaulty) __syncthreads();
  for (int row = first; row < kTile; row += kRows)
    if (top + column < height && left + row < width)
      y[(left + row) * height + top + column] = tile[column][row];
}

}  // namespace

bool missing_barrier(bool faulty) {
  const int height = 70, width = 45;
  std::vector<float> values(static_cast<std::size_t>(height) * width);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const DeviceArray<float> x(values), y(values.size());
  cuda::launch(faulty ? transpose<true> : transpose<false>, dim3(2, 3), dim3(kTile, kRows), 0, nullptr,
               x.get(), y.get(), height, width);
  const std::vector<float> transposed = y.values();
  bool right = true;
  for (int row = 0; row < height; ++row)
    for (int column = 0; column < width; ++column)
      right &= transposed[static_cast<std::size_t>(column * height + row)] ==
               values[static_cast<std::size_t>(row * width + column)];
  return right;
}

}  // namespace sagitta::test
