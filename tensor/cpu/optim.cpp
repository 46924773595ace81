// Optimizer steps on the flat parameter buffer, with PyTorch's update equations. Bound by memory bandwidth:
// each buffer is read and written once, at the speed of the triad or above.
#include <algorithm>
#include <cmath>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/dispatch.h"
#include "tensor/cpu/dropout_mask.h"
#include "tensor/cpu/parallel.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

namespace {

double squared_norm_of(const Tensor& norm2) {
  return norm2.dtype() == DType::f64 ? *norm2.data<double>() : static_cast<double>(*norm2.data<float>());
}

// Nothing may be learned from a gradient that is not finite: under a loss scale it was scaled too far,
// without one the values stay what they were when it came about.
bool skips(const ParameterUpdate& update) { return !std::isfinite(squared_norm_of(update.norm2)); }

// What the gradient is multiplied by: takes the loss scale out, and keeps the norm at most max_norm.
double gradient_factor(double max_norm, const ParameterUpdate& update) {
  const double unscale =
      update.loss_scale ? 1 / static_cast<double>(update.loss_scale.data<float>()[kLossScaleFactor]) : 1;
  if (max_norm <= 0) return unscale;
  const double norm = std::sqrt(squared_norm_of(update.norm2)) * unscale;
  return unscale * std::min(1.0, max_norm / (norm + 1e-6));
}

// The number of this update, from 1: those that a loss scale skipped did not happen.
double update_number(const StepState& now, const ParameterUpdate& update) {
  const double skipped =
      update.loss_scale ? static_cast<double>(update.loss_scale.data<float>()[kLossScaleSkippedSteps]) : 0;
  return static_cast<double>(now.optimizer_step) - skipped;
}

void refresh_copy(Backend& backend, const ParameterUpdate& update) {
  Tensor copy = update.copy;
  if (copy) backend.convert(update.values, copy);
}

struct Piece {
  std::int64_t begin = 0, end = 0;
  double decay = 0, rate = 1;  // as in UpdateSegments
};

// Calls update(Piece) for pieces of [0, n) that lie within one segment that is not frozen, concurrently.
template <class Update>
void for_each_piece(const UpdateSegments& segments, std::int64_t n, const Update& update) {
  const std::int64_t* ends = segments.end.data<std::int64_t>();
  const std::int64_t* last = ends + segments.end.numel();
  const float *decay = segments.decay.data<float>(), *rate = segments.rate.data<float>();
  parallel_chunks(n, kGrain, [=, &update](std::int64_t, std::int64_t begin, std::int64_t end) {
    for (const std::int64_t* segment = std::upper_bound(ends, last, begin); begin < end; ++segment) {
      const std::int64_t piece_end = std::min(end, *segment);
      const std::int64_t i = segment - ends;
      if (rate[i] != 0) update(Piece{begin, piece_end, decay[i], rate[i]});
      begin = piece_end;
    }
  });
}

}  // namespace

void CpuBackend::sgd(const SgdParams& params, const ParameterUpdate& update, Tensor& momentum) {
  if (skips(update)) return;
  dispatch_floating(update.values.dtype(), [&]<class T>(TypeTag<T>) {
    const T factor = static_cast<T>(gradient_factor(params.max_norm, update));
    const double learning_rate = read_state(update.state).learning_rate;
    const T mu = static_cast<T>(params.momentum);
    const T* g = update.gradient.data<T>();
    T* p = update.values.data<T>();
    T* b = momentum ? momentum.data<T>() : nullptr;
    for_each_piece(update.segments, update.values.numel(), [=](const Piece& piece) {
      const T decay = static_cast<T>(piece.decay), rate = static_cast<T>(learning_rate * piece.rate);
      if (b == nullptr) {
#pragma omp simd
        for (std::int64_t i = piece.begin; i < piece.end; ++i) p[i] -= rate * (factor * g[i] + decay * p[i]);
        return;
      }
      const T of_gradient = params.nesterov ? T(1) : T(0), of_momentum = params.nesterov ? mu : T(1);
#pragma omp simd
      for (std::int64_t i = piece.begin; i < piece.end; ++i) {
        const T d = factor * g[i] + decay * p[i];
        b[i] = mu * b[i] + d;
        p[i] -= rate * (of_gradient * d + of_momentum * b[i]);
      }
    });
  });
  refresh_copy(*this, update);
}

void CpuBackend::adam(const AdamParams& params, const ParameterUpdate& update, Tensor& first_moment,
                      Tensor& second_moment) {
  if (skips(update)) return;
  dispatch_floating(update.values.dtype(), [&]<class T>(TypeTag<T>) {
    const StepState now = read_state(update.state);
    const double t = update_number(now, update);
    const T factor = static_cast<T>(gradient_factor(params.max_norm, update));
    const T beta1 = static_cast<T>(params.beta1), beta2 = static_cast<T>(params.beta2);
    const T rest1 = static_cast<T>(1 - params.beta1), rest2 = static_cast<T>(1 - params.beta2);
    const double bias_correction = 1 - std::pow(params.beta1, t);
    const T correction = static_cast<T>(1 / std::sqrt(1 - std::pow(params.beta2, t)));
    const T eps = static_cast<T>(params.eps);
    const T* g = update.gradient.data<T>();
    T *m = first_moment.data<T>(), *v = second_moment.data<T>(), *p = update.values.data<T>();
    for_each_piece(update.segments, update.values.numel(), [=](const Piece& piece) {
      const double learning_rate = now.learning_rate * piece.rate;
      const T rate = static_cast<T>(learning_rate / bias_correction);
      const T l2 = static_cast<T>(params.decoupled ? 0 : piece.decay);
      const T shrink = static_cast<T>(params.decoupled ? 1 - learning_rate * piece.decay : 1);
#pragma omp simd
      for (std::int64_t i = piece.begin; i < piece.end; ++i) {
        const T d = factor * g[i] + l2 * p[i];
        m[i] = beta1 * m[i] + rest1 * d;
        v[i] = beta2 * v[i] + rest2 * d * d;
        p[i] = shrink * p[i] - rate * m[i] / (std::sqrt(v[i]) * correction + eps);
      }
    });
  });
  refresh_copy(*this, update);
}

void CpuBackend::update_average(double decay, const Tensor& x, Tensor& mean) {
  dispatch_floating(mean.dtype(), [&]<class T>(TypeTag<T>) {
    const T keep = static_cast<T>(decay), rest = static_cast<T>(1 - decay);
    const T* in = x.data<T>();
    T* out = mean.data<T>();
    parallel_chunks(mean.numel(), kGrain, [=](std::int64_t, std::int64_t begin, std::int64_t end) {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) out[i] = keep * out[i] + rest * in[i];
    });
  });
}

void CpuBackend::update_loss_scale(const LossScaleParams& params, const Tensor& norm2, Tensor& loss_scale) {
  float* scale = loss_scale.data<float>();
  if (!std::isfinite(squared_norm_of(norm2))) {
    scale[kLossScaleFactor] *= static_cast<float>(params.backoff);
    scale[kLossScaleGoodSteps] = 0;
    scale[kLossScaleSkippedSteps] += 1;
    return;
  }
  scale[kLossScaleGoodSteps] += 1;
  if (scale[kLossScaleGoodSteps] < static_cast<float>(params.interval)) return;
  scale[kLossScaleFactor] *= static_cast<float>(params.growth);
  scale[kLossScaleGoodSteps] = 0;
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
