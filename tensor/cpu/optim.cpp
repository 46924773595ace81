// Optimizer steps on the flat parameter buffer, with PyTorch's update equations. Bound by memory bandwidth:
// each buffer is read and written once.
#include <algorithm>
#include <cmath>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/dispatch.h"
#include "tensor/cpu/dropout_mask.h"
#include "tensor/cpu/parallel.h"

namespace sagitta {

using namespace cpu;

namespace {

// What the gradient is multiplied by so that its norm does not exceed max_norm.
double clip_factor(double max_norm, const Tensor& norm2) {
  if (max_norm <= 0) return 1;
  const double squared =
      norm2.dtype() == DType::f64 ? *norm2.data<double>() : static_cast<double>(*norm2.data<float>());
  return std::min(1.0, max_norm / (std::sqrt(squared) + 1e-6));
}

// Calls update(begin, end, weight_decay) for pieces of [0, n) that lie within one decay segment,
// concurrently.
template <class Update>
void for_each_segment(const DecaySegments& segments, std::int64_t n, const Update& update) {
  const std::int64_t* ends = segments.end.data<std::int64_t>();
  const std::int64_t* last = ends + segments.end.numel();
  const float* decay = segments.decay.data<float>();
  parallel_chunks(n, kGrain, [=, &update](std::int64_t, std::int64_t begin, std::int64_t end) {
    for (const std::int64_t* segment = std::upper_bound(ends, last, begin); begin < end; ++segment) {
      const std::int64_t piece_end = std::min(end, *segment);
      update(begin, piece_end, static_cast<double>(decay[segment - ends]));
      begin = piece_end;
    }
  });
}

}  // namespace

void CpuBackend::sgd(const SgdParams& params, const DecaySegments& segments, const Tensor& state,
                     const Tensor& norm2, const Tensor& gradient, Tensor& momentum, Tensor& values) {
  dispatch_floating(values.dtype(), [&]<class T>(TypeTag<T>) {
    const T clip = static_cast<T>(clip_factor(params.max_norm, norm2));
    const T rate = static_cast<T>(read_state(state).learning_rate), mu = static_cast<T>(params.momentum);
    const T* g = gradient.data<T>();
    T* p = values.data<T>();
    T* b = momentum ? momentum.data<T>() : nullptr;
    for_each_segment(
        segments, values.numel(), [=](std::int64_t begin, std::int64_t end, double weight_decay) {
          const T decay = static_cast<T>(weight_decay);
          if (b == nullptr) {
#pragma omp simd
            for (std::int64_t i = begin; i < end; ++i) p[i] -= rate * (clip * g[i] + decay * p[i]);
            return;
          }
          const T of_gradient = params.nesterov ? T(1) : T(0), of_momentum = params.nesterov ? mu : T(1);
#pragma omp simd
          for (std::int64_t i = begin; i < end; ++i) {
            const T d = clip * g[i] + decay * p[i];
            b[i] = mu * b[i] + d;
            p[i] -= rate * (of_gradient * d + of_momentum * b[i]);
          }
        });
  });
}

void CpuBackend::adam(const AdamParams& params, const DecaySegments& segments, const Tensor& state,
                      const Tensor& norm2, const Tensor& gradient, Tensor& first_moment,
                      Tensor& second_moment, Tensor& values) {
  dispatch_floating(values.dtype(), [&]<class T>(TypeTag<T>) {
    const StepState now = read_state(state);
    const double t = now.optimizer_step;
    const T clip = static_cast<T>(clip_factor(params.max_norm, norm2));
    const T beta1 = static_cast<T>(params.beta1), beta2 = static_cast<T>(params.beta2);
    const T rest1 = static_cast<T>(1 - params.beta1), rest2 = static_cast<T>(1 - params.beta2);
    const T rate = static_cast<T>(now.learning_rate / (1 - std::pow(params.beta1, t)));
    const T correction = static_cast<T>(1 / std::sqrt(1 - std::pow(params.beta2, t)));
    const T eps = static_cast<T>(params.eps);
    const T* g = gradient.data<T>();
    T *m = first_moment.data<T>(), *v = second_moment.data<T>(), *p = values.data<T>();
    for_each_segment(
        segments, values.numel(), [=](std::int64_t begin, std::int64_t end, double weight_decay) {
          const T l2 = static_cast<T>(params.decoupled ? 0 : weight_decay);
          const T shrink = static_cast<T>(params.decoupled ? 1 - now.learning_rate * weight_decay : 1);
#pragma omp simd
          for (std::int64_t i = begin; i < end; ++i) {
            const T d = clip * g[i] + l2 * p[i];
            m[i] = beta1 * m[i] + rest1 * d;
            v[i] = beta2 * v[i] + rest2 * d * d;
            p[i] = shrink * p[i] - rate * m[i] / (std::sqrt(v[i]) * correction + eps);
          }
        });
  });
}

}  // namespace sagitta
