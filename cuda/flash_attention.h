// Attention by this project's own kernels (Dao et al., "FlashAttention", 2022, and "FlashAttention-2", 2023):
// the T x T scores live a tile at a time in registers and never in memory. Forward keeps the log-sum-exp of
// each row, backward computes the tiles again from it. Two implementations stand behind these functions:
// tensor cores for 16-bit data in heads of 8, 16, .. 128 dimensions (flash_forward.cu, flash_backward.cu),
// f32 arithmetic for all else (flash_simt.cu). Invariant: no atomics, so the same inputs give the same bits.
#pragma once
#include <cuda_runtime.h>

#include "tensor/backend.h"

namespace sagitta::cuda {

// qkv [B,T,3*H*D] in f32, bf16 or f16, any T and D; y [B,T,H*D], lse f32 [B,H,T]; params.scale > 0. Semantics
// and dropout mask as Backend::attention. Throws when one image has 2^31 elements or more.
void flash_forward(const AttentionParams& params, const Tensor& state, const Tensor& qkv, Tensor& y,
                   Tensor& lse, cudaStream_t stream);

// y and lse are those of flash_forward (or of any attention with the same definition).
void flash_backward(const AttentionParams& params, const Tensor& state, const Tensor& qkv, const Tensor& y,
                    const Tensor& lse, const Tensor& dy, const Target& dqkv, cudaStream_t stream);

}  // namespace sagitta::cuda
