// Matrix products of the backend, over blas.h. The linear layer and its gradient are one product each where
// cuBLASLt can add the bias, or sum up its gradient, on the way; the activation is a kernel of ours, since
// the library's GELU is the tanh approximation and not the erf that pretrained ViTs were trained with.
#include "cuda/cuda_backend.h"

namespace sagitta::cuda {

void CudaBackend::matmul(const MatmulParams& params, const Tensor& a, const Tensor& b, const Target& y) {
  if (!y || y.dst.numel() == 0) return;
  if (a.numel() > 0) {
    blas_->run({.params = params, .a = a, .b = b, .y = y.dst, .accumulate = y.accumulate});
  } else if (!y.accumulate) {  // a sum of no terms, which cuBLASLt refuses
    Tensor zeros = y.dst;
    fill(zeros, 0);
  }
}

void CudaBackend::linear(const LinearParams& params, const Tensor& x, const Tensor& weight,
                         const Tensor& bias, Tensor& pre, Tensor& y) {
  Tensor product = pre ? pre : y;
  const Product fused{.params = {.transpose_b = true}, .a = x, .b = weight, .y = product, .bias = bias};
  if (!bias || x.numel() == 0 || y.numel() == 0 || !blas_->try_run(fused))
    return Backend::linear(params, x, weight, bias, pre, y);
  if (params.activation != UnaryOp::identity)
    unary(params.activation, product, y);
  else if (pre)
    convert(pre, y);
}

void CudaBackend::linear_backward(const LinearParams& params, const Tensor& x, const Tensor& weight,
                                  const Tensor& saved, const Tensor& dy, const Target& dx,
                                  const Target& dweight, const Target& dbias) {
  Tensor dpre = dy;
  if (params.activation != UnaryOp::identity) {
    dpre = dy.like();
    unary_backward(params.activation, saved, dy, {dpre});
  }
  if (dweight && dbias && x.numel() > 0 && dpre.numel() > 0) {
    // cuBLASLt overwrites the sums, so those that are to be added take a detour.
    const Tensor sums = dbias.accumulate ? dbias.dst.like() : dbias.dst;
    const Product fused{.params = {.transpose_a = true},
                        .a = dpre,
                        .b = x,
                        .y = dweight.dst,
                        .accumulate = dweight.accumulate,
                        .row_sums = sums};
    if (blas_->try_run(fused)) {
      if (dbias.accumulate) scale(sums, 1, dbias);
      return Backend::linear_backward({}, x, weight, {}, dpre, dx, {}, {});
    }
  }
  Backend::linear_backward({}, x, weight, {}, dpre, dx, dweight, dbias);
}

}  // namespace sagitta::cuda
