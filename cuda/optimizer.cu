// Optimizer steps over the flat parameter buffers, and the loss scale; PyTorch's update equations.
// One kernel does all of a step: unscale, clip, weight decay, moments, f32 value, 16-bit copy. Bound by
// memory bandwidth: each buffer is read and written once. Everything that changes from step to step is read
// from device memory, so that a captured step can be replayed, and is computed anew by every thread: a few
// dozen instructions for some hundred bytes moved.
#include <algorithm>
#include <cmath>

#include "cuda/column_tiles.cuh"
#include "cuda/cuda_backend.h"
#include "cuda/launch.h"
#include "cuda/pack.cuh"
#include "cuda/target.cuh"

namespace sagitta::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kSize = 4;  // floats per pack
// Packs per thread where there are enough to fill the GPU: what a thread computes first is shared by that
// many.
constexpr std::int64_t kPacksPerThread = 4;
constexpr std::int64_t kEnoughBlocks = 8 * kMultiprocessors;

// ParameterUpdate as the kernels see it.
template <class Copy>
struct Update {
  const std::int64_t* segment_ends;
  const float* segment_decay;
  const float* segment_rate;
  int segments;
  const StepState* state;
  const float* norm2;
  const float* loss_scale;  // may be null
  const float* gradient;
  float* values;
  Copy* copy;  // may be null
  std::int64_t n;
  float max_norm;  // 0: no clipping
  bool packed;

  // Nothing may be learned from a gradient that is not finite: under a loss scale it was scaled too far,
  // without one the values stay what they were when it came about.
  __device__ bool skipped() const { return !isfinite(*norm2); }

  // What the gradient is multiplied by: takes the loss scale out, and keeps the norm at most max_norm.
  __device__ float gradient_factor() const {
    const float unscale = loss_scale != nullptr ? 1.0F / loss_scale[kLossScaleFactor] : 1.0F;
    if (max_norm <= 0) return unscale;
    return unscale * fminf(1.0F, max_norm / (sqrtf(*norm2) * unscale + 1e-6F));
  }

  // The number of this update, from 1: those that a loss scale skipped did not happen.
  __device__ float update_number() const {
    const float skipped_steps = loss_scale != nullptr ? loss_scale[kLossScaleSkippedSteps] : 0.0F;
    return static_cast<float>(state->optimizer_step - static_cast<std::uint32_t>(skipped_steps));
  }

  // Weight decay, and learning rate as factor, of the elements from `at` on; false when all are frozen, which a
  // whole pack nearly always is or is not. A binary search finds the segment of the first; it runs while
  // the loads that the caller issued before are under way, and nearly always the whole pack lies in that
  // segment.
  __device__ bool load_segments(std::int64_t at, float (&decay)[kSize], float (&rate)[kSize]) const {
    int low = 0, high = segments - 1;
    while (low < high) {
      const int middle = (low + high) / 2;
      if (segment_ends[middle] > at)
        high = middle;
      else
        low = middle + 1;
    }
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      while (at + i >= segment_ends[low] && low < segments - 1) ++low;
      decay[i] = segment_decay[low];
      rate[i] = segment_rate[low];
    }
    return rate[0] != 0 || rate[1] != 0 || rate[2] != 0 || rate[3] != 0;
  }

  __device__ std::int64_t first() const {
    return (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * kSize;
  }
  __device__ std::int64_t stride() const { return std::int64_t{gridDim.x} * kThreads * kSize; }
  __device__ void load(const float* buffer, std::int64_t at, float (&values_at)[kSize]) const {
    load_floats(buffer + at, n - at, packed, values_at);
  }
  __device__ void store(float* buffer, std::int64_t at, const float (&values_at)[kSize]) const {
    store_floats(buffer + at, n - at, packed, values_at);
  }
  __device__ void store_values(std::int64_t at, const float (&values_at)[kSize]) const {
    store(values, at, values_at);
    if (copy != nullptr) store_floats(copy + at, n - at, packed, values_at);
  }
};

// d = gradient + decay * value; momentum = mu * momentum + d; value -= rate * (momentum, or with Nesterov
// d + mu * momentum). One thread per pack of 4, then a grid further. Moves 22 bytes per element (14 without
// momentum).
template <class Copy>
__global__ void __launch_bounds__(kThreads)
    sgd_kernel(Update<Copy> update, float mu, bool nesterov, float* momentum) {
  if (update.skipped()) return;
  const float factor = update.gradient_factor();
  const float learning_rate = static_cast<float>(update.state->learning_rate);
  const float of_step = nesterov ? 1.0F : 0.0F, of_momentum = nesterov ? mu : 1.0F;
  for (std::int64_t at = update.first(); at < update.n; at += update.stride()) {
    float step[kSize], value[kSize], decay[kSize], rate[kSize], speed[kSize] = {};
    update.load(update.gradient, at, step);
    update.load(update.values, at, value);
    if (momentum != nullptr) update.load(momentum, at, speed);
    if (!update.load_segments(at, decay, rate)) continue;
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      if (rate[i] == 0) continue;
      step[i] = factor * step[i] + decay[i] * value[i];
      speed[i] = mu * speed[i] + step[i];
      value[i] -= learning_rate * rate[i] * (momentum != nullptr ? of_step * step[i] + of_momentum * speed[i] : step[i]);
    }
    if (momentum != nullptr) update.store(momentum, at, speed);
    update.store_values(at, value);
  }
}

// AdamParams in float, with what the host computes more exactly.
struct AdamConstants {
  float beta1, rest1, log_beta1;  // beta, 1 - beta, ln(beta)
  float beta2, rest2, log_beta2;
  float eps;
  bool decoupled;
};

// One thread per pack of 4, then a grid further. Moves 30 bytes per element.
template <class Copy>
__global__ void __launch_bounds__(kThreads)
    adam_kernel(Update<Copy> update, AdamConstants constants, float* first_moment, float* second_moment) {
  if (update.skipped()) return;
  const float factor = update.gradient_factor(), t = update.update_number();
  const float learning_rate = static_cast<float>(update.state->learning_rate);
  // 1 - beta^t without the cancellation of a power near 1.
  const float correction1 = 1.0F / -expm1f(t * constants.log_beta1);
  const float correction = rsqrtf(-expm1f(t * constants.log_beta2));
  for (std::int64_t at = update.first(); at < update.n; at += update.stride()) {
    float d[kSize], value[kSize], m[kSize], v[kSize], decay[kSize], rate[kSize];
    update.load(update.gradient, at, d);
    update.load(update.values, at, value);
    update.load(first_moment, at, m);
    update.load(second_moment, at, v);
    if (!update.load_segments(at, decay, rate)) continue;
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      if (rate[i] == 0) continue;
      const float own_rate = learning_rate * rate[i];
      const float l2 = constants.decoupled ? 0.0F : decay[i];
      const float shrink = constants.decoupled ? 1.0F - own_rate * decay[i] : 1.0F;
      d[i] = factor * d[i] + l2 * value[i];
      m[i] = constants.beta1 * m[i] + constants.rest1 * d[i];
      v[i] = constants.beta2 * v[i] + constants.rest2 * d[i] * d[i];
      value[i] = shrink * value[i] - own_rate * correction1 * m[i] / (sqrtf(v[i]) * correction + constants.eps);
    }
    update.store(first_moment, at, m);
    update.store(second_moment, at, v);
    update.store_values(at, value);
  }
}

// mean = keep * mean + rest * x. One thread per pack of 4, then a grid further. Moves 12 bytes per element.
__global__ void __launch_bounds__(kThreads)
    average_kernel(float keep, float rest, const float* x, float* mean, std::int64_t n, bool packed) {
  const std::int64_t stride = std::int64_t{gridDim.x} * kThreads * kSize;
  for (std::int64_t at = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * kSize; at < n; at += stride) {
    float in[kSize], value[kSize];
    load_floats(x + at, n - at, packed, in);
    load_floats(mean + at, n - at, packed, value);
#pragma unroll
    for (int i = 0; i < kSize; ++i) value[i] = keep * value[i] + rest * in[i];
    store_floats(mean + at, n - at, packed, value);
  }
}

// One thread; three numbers.
__global__ void loss_scale_kernel(float growth, float backoff, float interval, const float* norm2,
                                  float* scale) {
  if (!isfinite(*norm2)) {
    scale[kLossScaleFactor] *= backoff;
    scale[kLossScaleGoodSteps] = 0;
    scale[kLossScaleSkippedSteps] += 1;
    return;
  }
  scale[kLossScaleGoodSteps] += 1;
  if (scale[kLossScaleGoodSteps] < interval) return;
  scale[kLossScaleFactor] *= growth;
  scale[kLossScaleGoodSteps] = 0;
}

// Blocks for n elements in packs.
unsigned blocks_for(std::int64_t n) {
  const std::int64_t packs = ceil_div(n, kSize);
  return static_cast<unsigned>(std::max(ceil_div(packs, kThreads * kPacksPerThread),
                                        std::min(ceil_div(packs, kThreads), kEnoughBlocks)));
}

// Calls start(Update<Copy>, blocks) with the type of update.copy. `moment` and `second`: further buffers
// whose alignment counts, may be empty.
template <class Start>
void start_update(const ParameterUpdate& update, double max_norm, const Tensor& moment, const Tensor& second,
                  const Start& start) {
  const auto with_copy = [&]<class Copy>(Copy* copy) {
    start(Update<Copy>{.segment_ends = update.segments.end.data<std::int64_t>(),
                       .segment_decay = update.segments.decay.data<float>(),
                       .segment_rate = update.segments.rate.data<float>(),
                       .segments = static_cast<int>(update.segments.end.numel()),
                       .state = reinterpret_cast<const StepState*>(update.state.raw()),
                       .norm2 = update.norm2.data<float>(),
                       .loss_scale = data_or_null<float>(update.loss_scale),
                       .gradient = update.gradient.data<float>(),
                       .values = update.values.data<float>(),
                       .copy = copy,
                       .n = update.values.numel(),
                       .max_norm = static_cast<float>(max_norm),
                       .packed = aligned(update.gradient.raw(), update.values.raw(), copy,
                                         data_or_null<float>(moment), data_or_null<float>(second))},
          blocks_for(update.values.numel()));
  };
  if (update.copy && update.copy.dtype() == DType::f16)
    with_copy(update.copy.data<__half>());
  else
    with_copy(data_or_null<__nv_bfloat16>(update.copy));
}

}  // namespace

void CudaBackend::sgd(const SgdParams& params, const ParameterUpdate& update, Tensor& momentum) {
  start_update(update, params.max_norm, momentum, {},
               [&]<class Copy>(const Update<Copy>& arguments, unsigned blocks) {
                 launch(sgd_kernel<Copy>, blocks, kThreads, 0, stream(), arguments,
                        static_cast<float>(params.momentum), params.nesterov, data_or_null<float>(momentum));
               });
}

void CudaBackend::adam(const AdamParams& params, const ParameterUpdate& update, Tensor& first_moment,
                       Tensor& second_moment) {
  const AdamConstants constants{.beta1 = static_cast<float>(params.beta1),
                                .rest1 = static_cast<float>(1 - params.beta1),
                                .log_beta1 = static_cast<float>(std::log(params.beta1)),
                                .beta2 = static_cast<float>(params.beta2),
                                .rest2 = static_cast<float>(1 - params.beta2),
                                .log_beta2 = static_cast<float>(std::log(params.beta2)),
                                .eps = static_cast<float>(params.eps),
                                .decoupled = params.decoupled};
  start_update(update, params.max_norm, first_moment, second_moment,
               [&]<class Copy>(const Update<Copy>& arguments, unsigned blocks) {
                 launch(adam_kernel<Copy>, blocks, kThreads, 0, stream(), arguments, constants,
                        first_moment.data<float>(), second_moment.data<float>());
               });
}

void CudaBackend::update_average(double decay, const Tensor& x, Tensor& mean) {
  launch(average_kernel, blocks_for(mean.numel()), kThreads, 0, stream(), static_cast<float>(decay),
         static_cast<float>(1 - decay), x.data<float>(), mean.data<float>(), mean.numel(),
         aligned(x.raw(), mean.raw()));
}

void CudaBackend::update_loss_scale(const LossScaleParams& params, const Tensor& norm2, Tensor& loss_scale) {
  launch(loss_scale_kernel, 1, 1, 0, stream(), static_cast<float>(params.growth),
         static_cast<float>(params.backoff), static_cast<float>(params.interval), norm2.data<float>(),
         loss_scale.data<float>());
}

}  // namespace sagitta::cuda
