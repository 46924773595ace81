// Layer norm over the last axis, one row at a time. Bound by memory bandwidth: a row stays in the L1
// cache. 55 to 84 % of a copy's speed forward, 45 to 67 % backward.
#include <cmath>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/dispatch.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/reduce.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

namespace {

template <class T>
void normalize_row(double eps, const T* x, const T* gamma, const T* beta, std::int64_t n, T* y, T& mean,
                   T& rstd) {
  const T average = lane_sum<T>(0, n, [=](std::int64_t i) { return x[i]; }) / static_cast<T>(n);
  const T variance = lane_sum<T>(0, n, [=](std::int64_t i) { return (x[i] - average) * (x[i] - average); }) /
                     static_cast<T>(n);
  mean = average;
  rstd = static_cast<T>(1 / std::sqrt(static_cast<double>(variance) + eps));
  const T scale = rstd;
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) y[i] = (x[i] - average) * scale * gamma[i] + beta[i];
}

}  // namespace

void CpuBackend::layer_norm(double eps, const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& y,
                            Tensor& mean, Tensor& rstd) {
  dispatch_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    const std::int64_t n = gamma.numel();
    const T* in = x.data<T>();
    T* out = y.data<T>();
    parallel_for(x.shape().rows(), 4 * n, [&](std::int64_t row) {
      normalize_row(eps, in + row * n, gamma.data<T>(), beta.data<T>(), n, out + row * n, mean.data<T>()[row],
                    rstd.data<T>()[row]);
    });
  });
}

void CpuBackend::add_layer_norm(double eps, const Tensor& x, const Tensor& residual, const Tensor& gamma,
                                const Tensor& beta, Tensor& sum, Tensor& y, Tensor& mean, Tensor& rstd) {
  dispatch_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    const std::int64_t n = gamma.numel();
    const T* left = x.data<T>();
    const T* right = residual.data<T>();
    T* total = sum.data<T>();
    T* out = y.data<T>();
    parallel_for(x.shape().rows(), 6 * n, [&](std::int64_t row) {
      const std::int64_t first = row * n;
#pragma omp simd
      for (std::int64_t i = 0; i < n; ++i) total[first + i] = left[first + i] + right[first + i];
      normalize_row(eps, total + first, gamma.data<T>(), beta.data<T>(), n, out + first, mean.data<T>()[row],
                    rstd.data<T>()[row]);
    });
  });
}

// With h = (x - mean) * rstd and g = gamma * dy: dx = rstd * (g - average(g) - h * average(g h)).
void CpuBackend::layer_norm_backward(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                                     const Tensor& rstd, const Tensor& dy, const Target& dx,
                                     const Target& dgamma, const Target& dbeta) {
  dispatch_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    const std::int64_t n = gamma.numel(), rows = x.shape().rows();
    const T *in = x.data<T>(), *weight = gamma.data<T>(), *gradient = dy.data<T>();
    const T *averages = mean.data<T>(), *scales = rstd.data<T>();
    if (dx) {
      T* out = dx.dst.data<T>();
      parallel_for(rows, 6 * n, [=, &dx](std::int64_t row) {
        const T m = averages[row], r = scales[row];
        const T* xs = in + row * n;
        const T* dys = gradient + row * n;
        T* dxs = out + row * n;
        const T average =
            lane_sum<T>(0, n, [=](std::int64_t i) { return weight[i] * dys[i]; }) / static_cast<T>(n);
        const T slope =
            lane_sum<T>(0, n, [=](std::int64_t i) { return weight[i] * dys[i] * ((xs[i] - m) * r); }) /
            static_cast<T>(n);
        const auto value = [=](std::int64_t i) {
          return r * (weight[i] * dys[i] - average - (xs[i] - m) * r * slope);
        };
        if (dx.accumulate)
#pragma omp simd
          for (std::int64_t i = 0; i < n; ++i) dxs[i] += value(i);
        else
#pragma omp simd
          for (std::int64_t i = 0; i < n; ++i) dxs[i] = value(i);
      });
    }
    if (!dgamma && !dbeta) return;
    const auto add = [=](std::int64_t row, T* sums) {
      const T m = averages[row], r = scales[row];
      T* to_beta = sums + n;
#pragma omp simd
      for (std::int64_t i = 0; i < n; ++i) {
        const T g = gradient[row * n + i];
        sums[i] += g * ((in[row * n + i] - m) * r);
        to_beta[i] += g;
      }
    };
    sum_over_rows<T>(allocator_, rows, 2 * n, rows_per_chunk(n, sizeof(T)), add,
                     [&](std::int64_t i, double total) {
                       const Target& target = i < n ? dgamma : dbeta;
                       if (target) put(target.dst.data<T>()[i % n], target.accumulate, static_cast<T>(total));
                     });
  });
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
