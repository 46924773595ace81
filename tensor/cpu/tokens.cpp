// Token bookkeeping of a vision transformer: prepending the class token with position embeddings, picking one
// token. Bound by memory bandwidth: 50 to 70 % of a copy's speed.
#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/dispatch.h"
#include "tensor/cpu/parallel.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

void CpuBackend::prepend_token(const Tensor& patches, const Tensor& cls, const Tensor& positions, Tensor& y) {
  dispatch_floating(y.dtype(), [&]<class T>(TypeTag<T>) {
    const std::int64_t tokens = y.shape()[1], dim = y.shape()[2];
    parallel_for(y.shape()[0] * tokens, dim, [&](std::int64_t row) {
      const std::int64_t image = row / tokens, token = row % tokens;
      const T* from =
          token == 0 ? cls.data<T>() : patches.data<T>() + (image * (tokens - 1) + token - 1) * dim;
      const T* position = positions.data<T>() + token * dim;
      T* to = y.data<T>() + row * dim;
      for (std::int64_t d = 0; d < dim; ++d) to[d] = from[d] + position[d];
    });
  });
}

void CpuBackend::prepend_token_backward(const Tensor& dy, const Target& dpatches, const Target& dcls,
                                        const Target& dpositions) {
  dispatch_floating(dy.dtype(), [&]<class T>(TypeTag<T>) {
    const std::int64_t images = dy.shape()[0], tokens = dy.shape()[1], dim = dy.shape()[2];
    const T* gradient = dy.data<T>();
    const auto sum_images = [&](std::int64_t token, T* to, bool accumulate) {
      for (std::int64_t d = 0; d < dim; ++d) {
        double sum = 0;
        for (std::int64_t image = 0; image < images; ++image)
          sum += static_cast<double>(gradient[(image * tokens + token) * dim + d]);
        put(to[d], accumulate, static_cast<T>(sum));
      }
    };
    if (dpatches)
      parallel_for(images * (tokens - 1), dim, [&](std::int64_t row) {
        const std::int64_t image = row / (tokens - 1), token = row % (tokens - 1) + 1;
        const T* from = gradient + (image * tokens + token) * dim;
        T* to = dpatches.dst.data<T>() + row * dim;
        for (std::int64_t d = 0; d < dim; ++d) put(to[d], dpatches.accumulate, from[d]);
      });
    if (dcls) sum_images(0, dcls.dst.data<T>(), dcls.accumulate);
    if (dpositions)
      parallel_for(tokens, dim * images, [&](std::int64_t token) {
        sum_images(token, dpositions.dst.data<T>() + token * dim, dpositions.accumulate);
      });
  });
}

void CpuBackend::select_token(const Tensor& x, std::int64_t index, Tensor& y) {
  dispatch_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    const std::int64_t tokens = x.shape()[1], dim = x.shape()[2];
    for (std::int64_t image = 0; image < x.shape()[0]; ++image)
      std::copy_n(x.data<T>() + (image * tokens + index) * dim, dim, y.data<T>() + image * dim);
  });
}

void CpuBackend::select_token_backward(const Tensor& dy, std::int64_t index, const Target& dx) {
  if (!dx) return;
  dispatch_floating(dy.dtype(), [&]<class T>(TypeTag<T>) {
    const std::int64_t tokens = dx.dst.shape()[1], dim = dx.dst.shape()[2];
    Tensor target = dx.dst;
    if (!dx.accumulate) fill(target, 0);
    for (std::int64_t image = 0; image < dy.shape()[0]; ++image) {
      T* to = dx.dst.data<T>() + (image * tokens + index) * dim;
      for (std::int64_t d = 0; d < dim; ++d) to[d] += dy.data<T>()[image * dim + d];
    }
  });
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
