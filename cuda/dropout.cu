// Dropout: the mask is never stored, forward and backward compute it from the counter-based generator.
// Four neighboring elements share one Philox block, so the mask is bit for bit that of the CPU.
#include <algorithm>
#include <cmath>

#include "cuda/cuda_backend.h"
#include "cuda/launch.h"
#include "cuda/pack.cuh"

namespace sagitta::cuda {

namespace {

constexpr int kThreads = 256;

// Survivors are those whose 24 random bits are at least `threshold`, and they are multiplied by `factor`.
struct Mask {
  const StepState*
      state;  // in device memory, since it changes between replays of a captured step; may be null
  std::uint32_t stream;
  std::uint32_t threshold;
  float factor;
};

// y = mask(x), or y += mask(x). One thread per pack of 16 bytes: one Philox block for 4 floats, two for 8
// elements of 16 bits. Each element of x and y moves once; the 20 wide multiplications per Philox block take
// about as long as moving 4 elements of 16 bits, less than moving 4 floats.
template <class T>
__global__ void __launch_bounds__(kThreads)
    dropout_kernel(Mask mask, const T* x, T* y, std::int64_t n, bool packed, bool accumulate) {
  constexpr int kSize = kPackSize<T>;
  const std::int64_t at = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * kSize;
  if (at >= n) return;
  float values[kSize];
  load_floats(x + at, n - at, packed, values);
  const random::Key key = mask_key(mask.state != nullptr ? *mask.state : StepState{}, mask.stream);
  const std::uint64_t high = (static_cast<std::uint64_t>(key.stream) << 32) | key.step;
#pragma unroll
  for (int block = 0; block < kSize / 4; ++block) {
    const random::Block words = random::philox(key.seed, static_cast<std::uint64_t>(at / 4 + block), high);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float& value = values[4 * block + i];
      value = words.word[i] >> 8 >= mask.threshold ? value * mask.factor : 0.0F;
    }
  }
  store_target(y + at, n - at, packed, values, accumulate);
}

}  // namespace

void CudaBackend::dropout(const DropoutParams& params, const Tensor& state, const Tensor& x, Tensor& y) {
  dropout_backward(params, state, x, {y, false});  // a linear map with a diagonal matrix: its own transpose
}

void CudaBackend::dropout_backward(const DropoutParams& params, const Tensor& state, const Tensor& dy,
                                   const Target& dx) {
  if (!dx) return;
  // uniform >= p, with uniform a multiple of 2^-24, is the same as 2^24 uniform >= ceil(2^24 p): no rounding.
  const Mask mask{.state = state ? reinterpret_cast<const StepState*>(state.raw()) : nullptr,
                  .stream = params.stream,
                  .threshold = static_cast<std::uint32_t>(std::ceil(std::clamp(params.p, 0.0, 1.0) * 0x1p24)),
                  .factor = params.p < 1 ? static_cast<float>(1 / (1 - params.p)) : 0.0F};
  dispatch_dtype(dy.dtype(), [&](auto type) {
    using T = typename decltype(type)::type;
    const std::int64_t n = dy.numel();
    const auto blocks = static_cast<unsigned>(ceil_div(n, std::int64_t{kThreads} * kPackSize<T>));
    launch(dropout_kernel<T>, blocks, kThreads, 0, stream(), mask, dy.data<T>(), dx.dst.data<T>(), n,
           aligned(dy.raw(), dx.dst.raw()), dx.accumulate);
  });
}

}  // namespace sagitta::cuda
