// Losses with their gradients, in double whatever the dtype: a batch of logits is tiny and takes
// microseconds.
#include <algorithm>
#include <cmath>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/dispatch.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

void CpuBackend::softmax_cross_entropy(const CrossEntropyParams& params, const Tensor& logits,
                                       const Tensor& labels, Tensor& loss, Tensor& dlogits) {
  dispatch_floating(logits.dtype(), [&]<class T>(TypeTag<T>) {
    const std::int64_t rows = logits.shape()[0], classes = logits.shape()[1];
    const std::int64_t* label = labels.data<std::int64_t>();
    const std::int64_t counted = rows - std::count(label, label + rows, params.ignore_index);
    const double even = params.label_smoothing / static_cast<double>(classes);  // the part every class gets
    double total = 0;
    for (std::int64_t b = 0; b < rows; ++b) {
      const T* row = logits.data<T>() + b * classes;
      T* gradient = dlogits.data<T>() + b * classes;
      if (label[b] == params.ignore_index) {
        std::fill_n(gradient, classes, T(0));
        continue;
      }
      const double top = static_cast<double>(*std::max_element(row, row + classes));
      double sum = 0;
      for (std::int64_t k = 0; k < classes; ++k) sum += std::exp(static_cast<double>(row[k]) - top);
      for (std::int64_t k = 0; k < classes; ++k) {
        const double log_p = static_cast<double>(row[k]) - top - std::log(sum);
        const double target = even + (k == label[b] ? 1 - params.label_smoothing : 0);
        if (target != 0) total -= target * log_p;  // 0 * infinity is no loss
        gradient[k] = static_cast<T>((std::exp(log_p) - target) / static_cast<double>(counted));
      }
    }
    *loss.data<T>() =
        static_cast<T>(total / static_cast<double>(counted));  // no row counted: NaN, as in PyTorch
  });
}

// loss = (1 - t) x + s (log(1 + e^-|x|) + max(-x, 0)) with s = 1 + (pos_weight - 1) t, times weight.
void CpuBackend::bce_with_logits(const Tensor& logits, const Tensor& targets, const Tensor& pos_weight,
                                 const Tensor& weight, Tensor& loss, Tensor& dlogits) {
  dispatch_floating(logits.dtype(), [&]<class T>(TypeTag<T>) {
    const std::int64_t n = logits.numel(), classes = logits.shape().back();
    double total = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const double x = static_cast<double>(logits.data<T>()[i]),
                   t = static_cast<double>(targets.data<T>()[i]);
      const double positive = pos_weight ? static_cast<double>(pos_weight.data<T>()[i % classes]) : 1;
      const double factor = weight ? static_cast<double>(weight.data<T>()[i]) : 1;
      const double steepness = 1 + (positive - 1) * t;
      const double decay = std::exp(-std::fabs(x));
      const double sigmoid_of_minus_x = x >= 0 ? decay / (1 + decay) : 1 / (1 + decay);
      total += factor * ((1 - t) * x + steepness * (std::log1p(decay) + std::max(-x, 0.0)));
      dlogits.data<T>()[i] =
          static_cast<T>(factor * ((1 - t) - steepness * sigmoid_of_minus_x) / static_cast<double>(n));
    }
    *loss.data<T>() = static_cast<T>(total / static_cast<double>(n));
  });
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
