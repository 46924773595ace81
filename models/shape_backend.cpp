#include "models/shape_backend.h"

#include <new>

#include "tensor/error.h"

namespace sagitta::models {

// Ordinary memory that nobody writes: the operating system gives no pages for it.
void* ShapeBackend::allocate(std::size_t bytes) { return ::operator new (bytes, std::align_val_t{64}); }
void ShapeBackend::release(void* memory, std::size_t) { ::operator delete (memory, std::align_val_t{64}); }

void ShapeBackend::read(const Tensor&, void*) { fail("summary: the shape backend holds no values to read"); }

void ShapeBackend::matmul(const MatmulParams& params, const Tensor& a, const Tensor& b, const Target& y) {
  const std::int64_t inner = a.shape()[params.transpose_a ? 0 : 1];
  calls_.push_back({b.raw(), y.dst.shape(), y.dst.numel() * inner});
}

void ShapeBackend::linear(const LinearParams&, const Tensor& x, const Tensor& weight, const Tensor&, Tensor&,
                          Tensor& y) {
  calls_.push_back({weight.raw(), y.shape(), y.numel() * x.shape().back()});
}

void ShapeBackend::conv2d(const Conv2dParams&, const Tensor&, const Tensor& weight, Tensor& y) {
  calls_.push_back({weight.raw(), y.shape(), y.numel() * (weight.numel() / weight.shape()[0])});
}

void ShapeBackend::batch_norm(const BatchNormParams&, const Tensor&, const Tensor& gamma, const Tensor&,
                              Tensor&, Tensor&, Tensor& y, Tensor&, Tensor&) {
  calls_.push_back({gamma.raw(), y.shape(), 0});
}

void ShapeBackend::layer_norm(double, const Tensor&, const Tensor& gamma, const Tensor&, Tensor& y, Tensor&,
                              Tensor&) {
  calls_.push_back({gamma.raw(), y.shape(), 0});
}

void ShapeBackend::attention(const AttentionParams&, const Tensor&, const Tensor&, Tensor& y, Tensor&) {
  // q k^T and the product with v: T multiply-adds per output value each.
  calls_.push_back({nullptr, y.shape(), 2 * y.numel() * y.shape()[1]});
}

void ShapeBackend::batch_norm_add_relu(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                                       const Tensor& beta, const Tensor& residual, Tensor& running_mean,
                                       Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd) {
  Backend::batch_norm_add_relu(params, x, gamma, beta, residual, running_mean, running_var, y, mean, rstd);
}

void ShapeBackend::conv2d_batch_norm(const ConvNormParams& params, const Tensor& x, const Tensor& weight,
                                     const Tensor& gamma, const Tensor& beta, const Tensor& running_mean,
                                     const Tensor& running_var, const Tensor& residual, Tensor& y) {
  Backend::conv2d_batch_norm(params, x, weight, gamma, beta, running_mean, running_var, residual, y);
}

void ShapeBackend::add_layer_norm(double eps, const Tensor& x, const Tensor& residual, const Tensor& gamma,
                                  const Tensor& beta, Tensor& sum, Tensor& y, Tensor& mean, Tensor& rstd) {
  Backend::add_layer_norm(eps, x, residual, gamma, beta, sum, y, mean, rstd);
}

}  // namespace sagitta::models
