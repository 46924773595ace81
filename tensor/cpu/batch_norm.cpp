// Batch norm over the rows of a [P,C] matrix, with residual and ReLU fused in: one pass for the statistics
// and one to apply; backward one pass of sums and one to apply. Bound by memory bandwidth:
// tensors that exceed the caches move at 64 to 85 % of the triad's speed.
#include <cmath>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/dispatch.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/reduce.h"
#include "tensor/cpu/stream.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

namespace {

// Mean and sum of squared deviations of every channel. A group of rows is read twice while it is in the cache
// (mean, then deviations from it); groups and then chunks are merged by Chan's formula: no difference of
// large numbers anywhere.
struct Moments {
  double count = 0, mean = 0, deviation = 0;
  void merge(double other_count, double other_mean, double other_deviation) {
    const double total = count + other_count, delta = other_mean - mean;
    mean += delta * other_count / total;
    deviation += other_deviation + delta * delta * count * other_count / total;
    count = total;
  }
};

template <class T, class Finish>
void channel_moments(CachingAllocator& allocator, const T* x, std::int64_t rows, std::int64_t channels,
                     const Finish& finish) {
  const std::int64_t chunk_rows = rows_per_chunk(channels, sizeof(T)), chunks = ceil_div(rows, chunk_rows);
  const Scratch<Moments> moments(allocator, chunks * channels);
  const ThreadScratch<T> scratch(allocator, 2 * channels);
  parallel_tasks(chunks, [&](std::int64_t task, int thread) {
    const std::int64_t chunk = chunks - 1 - task;  // the last rows were written last and may still be cached
    Moments* const total = moments.data() + chunk * channels;
    std::fill_n(total, channels, Moments());
    T* const mean = scratch.of(thread);
    T* const deviation = mean + channels;
    const std::int64_t end = std::min(rows, (chunk + 1) * chunk_rows);
    for (std::int64_t begin = chunk * chunk_rows; begin < end; begin += kRowGroup) {
      const std::int64_t stop = std::min(end, begin + kRowGroup);
      const T inverse = T(1) / static_cast<T>(stop - begin);
      std::fill_n(mean, 2 * channels, T(0));
      for (std::int64_t row = begin; row < stop; ++row)
#pragma omp simd
        for (std::int64_t c = 0; c < channels; ++c)
          mean[c] += (x[row * channels + c] - x[begin * channels + c]);
#pragma omp simd
      for (std::int64_t c = 0; c < channels; ++c) mean[c] = x[begin * channels + c] + mean[c] * inverse;
      for (std::int64_t row = begin; row < stop; ++row)
#pragma omp simd
        for (std::int64_t c = 0; c < channels; ++c) {
          const T d = x[row * channels + c] - mean[c];
          deviation[c] += d * d;
        }
      for (std::int64_t c = 0; c < channels; ++c)
        total[c].merge(static_cast<double>(stop - begin), static_cast<double>(mean[c]),
                       static_cast<double>(deviation[c]));
    }
  });
  parallel_for(channels, 16 * chunks, [&](std::int64_t c) {
    Moments all;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      const Moments& part = moments[chunk * channels + c];
      all.merge(part.count, part.mean, part.deviation);
    }
    finish(c, all.mean, all.deviation);
  });
}

template <class T>
void prepare_statistics(const BatchNormParams& params, CachingAllocator& allocator, const Tensor& x,
                        Tensor& running_mean, Tensor& running_var, T* mean, T* rstd) {
  const std::int64_t rows = x.shape().rows(), channels = x.shape().back();
  T* const average = running_mean.data<T>();
  T* const variance = running_var.data<T>();
  if (!params.training) {
    for (std::int64_t c = 0; c < channels; ++c) {
      mean[c] = average[c];
      rstd[c] = static_cast<T>(1 / std::sqrt(static_cast<double>(variance[c]) + params.eps));
    }
    return;
  }
  const double count = static_cast<double>(std::max<std::int64_t>(1, rows));
  const double unbiased_count = std::max(1.0, count - 1);
  const auto update = [&](T& running, double batch) {
    running = static_cast<T>((1 - params.momentum) * static_cast<double>(running) + params.momentum * batch);
  };
  channel_moments(allocator, x.data<T>(), rows, channels,
                  [&](std::int64_t c, double batch_mean, double deviation) {
                    mean[c] = static_cast<T>(batch_mean);
                    rstd[c] = static_cast<T>(1 / std::sqrt(deviation / count + params.eps));
                    update(average[c], batch_mean);
                    update(variance[c], deviation / unbiased_count);
                  });
}

// The gradient that enters the normalization: dy, masked by the ReLU when there is one.
template <bool kRelu, class T>
inline T masked(const T* dy, const T* y, std::int64_t i) {
  if constexpr (kRelu)
    return y[i] > T(0) ? dy[i] : T(0);
  else
    return dy[i];
}

// out [rows][channels] (+)= value(at, first) of the row that begins at element `first`, at as for write_row.
template <class T, class Value>
void write_rows(T* out, std::int64_t rows, std::int64_t channels, bool accumulate, const Value& value) {
  const bool streamed = !accumulate && exceeds_caches(rows * channels * static_cast<std::int64_t>(sizeof(T)));
  parallel_chunks(rows, rows_per_chunk(channels, sizeof(T)),
                  [=](std::int64_t, std::int64_t begin, std::int64_t end) {
                    for (std::int64_t first = begin * channels; first < end * channels; first += channels)
                      write_row(out + first, channels, accumulate, streamed,
                                [=](const auto& at) { return value(at, first); });
                    if (streamed) finish_streaming();
                  });
}

template <bool kRelu, bool kResidual, class T>
void apply(const T* x, const T* residual, const T* gamma, const T* beta, const T* mean, const T* rstd,
           std::int64_t rows, std::int64_t channels, T* y) {
  write_rows(y, rows, channels, false, [=](const auto& at, std::int64_t first) {
    auto value = (at(x + first) - at(mean)) * (at(gamma) * at(rstd)) + at(beta);
    if constexpr (kResidual) value += at(residual + first);
    if constexpr (kRelu) value = value < 0 ? decltype(value){} : value;
    return value;
  });
}

// Per channel: the factors of dx = a * g + b * (x - mean) + c.
template <class T>
struct InputGradient {
  T* gradient;
  T* deviation;
  T* constant;
};

template <bool kRelu, class T>
void write_input_gradient(std::int64_t rows, std::int64_t channels, const T* x, const T* y, const T* mean,
                          const T* dy, const InputGradient<T>& factor, const Target& dx) {
  write_rows(dx.dst.data<T>(), rows, channels, dx.accumulate, [=](const auto& at, std::int64_t first) {
    auto g = at(dy + first);
    if constexpr (kRelu) g = at(y + first) > 0 ? g : decltype(g){};
    return at(factor.gradient) * g + at(factor.deviation) * (at(x + first) - at(mean)) + at(factor.constant);
  });
}

template <bool kRelu, class T>
void backward(const BatchNormParams& params, CachingAllocator& allocator, std::int64_t rows,
              std::int64_t channels, const T* x, const T* y, const T* gamma, const T* mean, const T* rstd,
              const T* dy, const Target& dx, const Target& dgamma, const Target& dbeta,
              const Target& dresidual) {
  const Scratch<T> factors(allocator, 3 * channels);
  const InputGradient<T> factor{factors.data(), factors.data() + channels, factors.data() + 2 * channels};
  // The masked gradient is the residual's own; when it is written there, the second pass reads it back.
  T* const to_residual = dresidual ? dresidual.dst.data<T>() : nullptr;
  const auto add = [=, &dresidual](std::int64_t row, T* sums) {
    const std::int64_t first = row * channels;
    T* const sum_deviation = sums + channels;
    const auto gather = [=](const auto& keep) {
#pragma omp simd
      for (std::int64_t c = 0; c < channels; ++c) {
        const T g = masked<kRelu>(dy, y, first + c);
        keep(first + c, g);
        sums[c] += g;
        sum_deviation[c] += g * (x[first + c] - mean[c]);
      }
    };
    if (to_residual == nullptr)
      gather([](std::int64_t, T) {});
    else if (dresidual.accumulate)
      gather([=](std::int64_t i, T g) { to_residual[i] += g; });
    else
      gather([=](std::int64_t i, T g) { to_residual[i] = g; });
  };
  const Scratch<double> totals(allocator, 2 * channels);
  sum_over_rows<T>(allocator, rows, 2 * channels, rows_per_chunk(channels, sizeof(T)), add,
                   [=, &totals](std::int64_t i, double total) { totals[i] = total; });
  const double count = static_cast<double>(std::max<std::int64_t>(1, rows));
  for (std::int64_t c = 0; c < channels; ++c) {
    const double r = static_cast<double>(rstd[c]), scale = static_cast<double>(gamma[c]) * r;
    const double sum = totals[c], sum_deviation = totals[channels + c];
    if (dgamma) put(dgamma.dst.data<T>()[c], dgamma.accumulate, static_cast<T>(sum_deviation * r));
    if (dbeta) put(dbeta.dst.data<T>()[c], dbeta.accumulate, static_cast<T>(sum));
    factor.gradient[c] = static_cast<T>(scale);
    factor.deviation[c] = params.training ? static_cast<T>(-scale * r * r * sum_deviation / count) : T(0);
    factor.constant[c] = params.training ? static_cast<T>(-scale * sum / count) : T(0);
  }
  if (!dx) return;
  if (dresidual && !dresidual.accumulate)
    write_input_gradient<false, T>(rows, channels, x, nullptr, mean, to_residual, factor, dx);
  else
    write_input_gradient<kRelu, T>(rows, channels, x, y, mean, dy, factor, dx);
}

}  // namespace

void CpuBackend::batch_norm(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                            const Tensor& beta, Tensor& running_mean, Tensor& running_var, Tensor& y,
                            Tensor& mean, Tensor& rstd) {
  BatchNormParams plain = params;
  plain.relu = false;
  batch_norm_add_relu(plain, x, gamma, beta, {}, running_mean, running_var, y, mean, rstd);
}

void CpuBackend::batch_norm_backward(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                                     const Tensor& mean, const Tensor& rstd, const Tensor& dy,
                                     const Target& dx, const Target& dgamma, const Target& dbeta) {
  BatchNormParams plain = params;
  plain.relu = false;
  batch_norm_add_relu_backward(plain, x, {}, gamma, mean, rstd, dy, dx, dgamma, dbeta, {});
}

void CpuBackend::batch_norm_add_relu(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                                     const Tensor& beta, const Tensor& residual, Tensor& running_mean,
                                     Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd) {
  dispatch_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    T* const m = mean.data<T>();
    T* const r = rstd.data<T>();
    prepare_statistics<T>(params, allocator_, x, running_mean, running_var, m, r);
    const auto run = [&]<bool kRelu, bool kResidual>() {
      apply<kRelu, kResidual, T>(x.data<T>(), kResidual ? residual.data<T>() : nullptr, gamma.data<T>(),
                                 beta.data<T>(), m, r, x.shape().rows(), x.shape().back(), y.data<T>());
    };
    if (params.relu && residual)
      run.template operator()<true, true>();
    else if (params.relu)
      run.template operator()<true, false>();
    else if (residual)
      run.template operator()<false, true>();
    else
      run.template operator()<false, false>();
  });
}

void CpuBackend::batch_norm_add_relu_backward(const BatchNormParams& params, const Tensor& x, const Tensor& y,
                                              const Tensor& gamma, const Tensor& mean, const Tensor& rstd,
                                              const Tensor& dy, const Target& dx, const Target& dgamma,
                                              const Target& dbeta, const Target& dresidual) {
  dispatch_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    const auto run = [&]<bool kRelu>() {
      backward<kRelu, T>(params, allocator_, x.shape().rows(), x.shape().back(), x.data<T>(),
                         kRelu ? y.data<T>() : nullptr, gamma.data<T>(), mean.data<T>(), rstd.data<T>(),
                         dy.data<T>(), dx, dgamma, dbeta, dresidual);
    };
    if (params.relu)
      run.template operator()<true>();
    else
      run.template operator()<false>();
  });
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
