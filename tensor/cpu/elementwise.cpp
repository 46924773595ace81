// Elementwise ops and plain sums. All are bound by memory bandwidth; 85 to 100 % of a copy's speed.
#include <type_traits>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/dispatch.h"
#include "tensor/cpu/fast_math.h"
#include "tensor/cpu/parallel.h"
#include "tensor/cpu/reduce.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

void CpuBackend::scale(const Tensor& x, double alpha, const Target& y) {
  if (!y) return;
  dispatch_stored_floating(x.dtype(), [&]<class From>(TypeTag<From>) {
    dispatch_stored_floating(y.dst.dtype(), [&]<class To>(TypeTag<To>) {
      constexpr bool is_double = std::is_same_v<From, double> || std::is_same_v<To, double>;
      using Wide = std::conditional_t<is_double, double, float>;
      const From* in = x.data<From>();
      To* out = y.dst.data<To>();
      const Wide factor = static_cast<Wide>(alpha);
      write_each(out, x.numel(), false, [=, accumulate = y.accumulate](std::int64_t i) {
        const Wide value = factor * static_cast<Wide>(in[i]);
        return static_cast<To>(accumulate ? static_cast<Wide>(out[i]) + value : value);
      });
    });
  });
}

void CpuBackend::unary(UnaryOp op, const Tensor& x, Tensor& y) {
  dispatch_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    fast::visit(op, [&](auto f) {
      const T* in = x.data<T>();
      write_each(y.data<T>(), x.numel(), false, [=](std::int64_t i) { return f.f(in[i]); });
    });
  });
}

void CpuBackend::unary_backward(UnaryOp op, const Tensor& saved, const Tensor& dy, const Target& dx) {
  if (!dx) return;
  dispatch_floating(dy.dtype(), [&]<class T>(TypeTag<T>) {
    fast::visit(op, [&](auto f) {
      // A derivative looks only at the value that it saves, so that value can stand for both arguments.
      const T* values = saved ? saved.data<T>() : dy.data<T>();
      const T* gradient = dy.data<T>();
      write_each(dx.dst.data<T>(), dy.numel(), dx.accumulate,
                 [=](std::int64_t i) { return gradient[i] * f.df(values[i], values[i]); });
    });
  });
}

void CpuBackend::binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& y) {
  dispatch_floating(a.dtype(), [&]<class T>(TypeTag<T>) {
    visit(op, [&](auto f) {
      const T* left = a.data<T>();
      const T* right = b.data<T>();
      write_each(y.data<T>(), y.numel(), false, [=](std::int64_t i) { return f.f(left[i], right[i]); });
    });
  });
}

void CpuBackend::binary_backward(BinaryOp op, const Tensor& a, const Tensor& b, const Tensor& dy,
                                 const Target& da, const Target& db) {
  dispatch_floating(dy.dtype(), [&]<class T>(TypeTag<T>) {
    visit(op, [&](auto f) {
      const T* gradient = dy.data<T>();
      const T* left = a ? a.data<T>() : gradient;  // not looked at when nothing is saved
      const T* right = b ? b.data<T>() : gradient;
      if (da)
        write_each(da.dst.data<T>(), dy.numel(), da.accumulate,
                   [=](std::int64_t i) { return gradient[i] * f.da(left[i], right[i]); });
      if (db)
        write_each(db.dst.data<T>(), dy.numel(), db.accumulate,
                   [=](std::int64_t i) { return gradient[i] * f.db(left[i], right[i]); });
    });
  });
}

void CpuBackend::scale_by(const Tensor& x, const Tensor& scalar, const Target& y) {
  dispatch_floating(scalar.dtype(),
                    [&]<class T>(TypeTag<T>) { scale(x, static_cast<double>(*scalar.data<T>()), y); });
}

void CpuBackend::sum(const Tensor& x, Tensor& y) {
  dispatch_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    const T* in = x.data<T>();
    *y.data<T>() = static_cast<T>(ordered_sum<T>(x.numel(), [=](std::int64_t i) { return in[i]; }));
  });
}

void CpuBackend::squared_norm(const Tensor& x, Tensor& y) {
  dispatch_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    const T* in = x.data<T>();
    *y.data<T>() = static_cast<T>(ordered_sum<T>(x.numel(), [=](std::int64_t i) { return in[i] * in[i]; }));
  });
}

void CpuBackend::add_bias(const Tensor& x, const Tensor& bias, Tensor& y) {
  dispatch_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    const std::int64_t columns = bias.numel();
    const T* offsets = bias.data<T>();
    parallel_for(x.shape().rows(), columns, [&, in = x.data<T>(), out = y.data<T>()](std::int64_t row) {
#pragma omp simd
      for (std::int64_t j = 0; j < columns; ++j) out[row * columns + j] = in[row * columns + j] + offsets[j];
    });
  });
}

void CpuBackend::sum_rows(const Tensor& x, const Target& y) {
  if (!y) return;
  dispatch_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    const std::int64_t columns = y.dst.numel();
    const T* in = x.data<T>();
    T* out = y.dst.data<T>();
    sum_over_rows<T>(
        allocator_, x.shape().rows(), columns, rows_per_chunk(columns, sizeof(T)),
        [=](std::int64_t row, T* sums) {
#pragma omp simd
          for (std::int64_t j = 0; j < columns; ++j) sums[j] += in[row * columns + j];
        },
        [=](std::int64_t j, double total) { put(out[j], y.accumulate, static_cast<T>(total)); });
  });
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
