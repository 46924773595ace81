// Attention of the backend: cuDNN's kernels where they apply and are wanted, this project's everywhere else.
#include "cuda/alignment.h"
#include "cuda/cuda_backend.h"
#include "cuda/flash_attention.h"

namespace sagitta::cuda {

void CudaBackend::attention(const AttentionParams& params, const Tensor& state, const Tensor& qkv, Tensor& y,
                            Tensor& lse) {
  if (qkv.numel() == 0) return;
  if (options_.cudnn_attention && dnn_->supports_attention(params, qkv) && aligned(qkv, y, lse))
    dnn_->attention(params, qkv, y, lse);
  else
    flash_forward(params, state, qkv, y, lse, stream());
}

void CudaBackend::attention_backward(const AttentionParams& params, const Tensor& state, const Tensor& qkv,
                                     const Tensor& y, const Tensor& lse, const Tensor& dy,
                                     const Target& dqkv) {
  if (!dqkv || qkv.numel() == 0) return;
  if (!options_.cudnn_attention || !dnn_->supports_attention(params, qkv) ||
      !aligned(qkv, y, lse, dy, dqkv.dst))
    return flash_backward(params, state, qkv, y, lse, dy, dqkv, stream());
  // cuDNN overwrites, so a gradient that is to be added takes a detour.
  Tensor gradient = dqkv.accumulate ? dqkv.dst.like() : dqkv.dst;
  dnn_->attention_backward(params, qkv, y, lse, dy, gradient);
  if (dqkv.accumulate) scale(gradient, 1, dqkv);
}

}  // namespace sagitta::cuda
