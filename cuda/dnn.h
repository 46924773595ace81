// Dnn: the seam to cuDNN - convolutions and the shipped attention. Nothing of cuDNN shows here.
// For every new combination of op, shapes and dtype the fastest of cuDNN's algorithms is found by timing,
// once, and remembered on disk; from then on a call only enqueues. Behind it dnn_*.h, bottom to top:
// descriptor, graph, problem, plan, runner. The emulated build answers with the CPU backend
// (emulator/dnn.cpp). Invariant: every destination is overwritten without being read, and no argument may
// overlap another.
#pragma once
#include <cuda_runtime.h>

#include <filesystem>
#include <memory>

#include "tensor/dtype.h"
#include "tensor/op_params.h"
#include "tensor/rounding.h"
#include "tensor/tensor.h"

namespace sagitta::cuda {

struct DnnOptions {
  bool tf32 = false;            // f32 convolutions on tensor cores, with 10 bits of mantissa
  bool deterministic = true;    // only algorithms that give the same bits each time
  bool time_algorithms = true;  // false: the library's first guess
  // Where choices are kept, usually user_cache_directory() of plan_cache.h; empty: not on disk. Whatever is
  // wrong with that folder costs the timing again, never an error.
  std::filesystem::path plan_cache = {};
  bool progress = false;  // says on stderr that choosing has begun
};

// x [N,H,W,I], weight [O,KH,KW,I], y [N,OH,OW,O]
struct ConvolutionShapes {
  Shape x, weight, y;
};

// The shapes with the channels rounded up to counts that have fast kernels. Any counts work, but a caller
// that pads with zero channels, and cuts the result, is usually faster. With bf16 the 3 channels of a picture
// become 8; f16 has a kernel of its own for 4.
inline ConvolutionShapes padded_shapes(DType dtype, const ConvolutionShapes& shapes) {
  const std::int64_t inputs = round_up(shapes.x.back(), dtype == DType::bf16 ? 8 : 4);
  const std::int64_t outputs = round_up(shapes.y.back(), is_half(dtype) ? 8 : 4);
  return {.x = shapes.x.with(-1, inputs),
          .weight = shapes.weight.with(0, outputs).with(-1, inputs),
          .y = shapes.y.with(-1, outputs)};
}

// Whether cuDNN has attention kernels for qkv [B,T,3*H*D]: 16 bits, D a multiple of 8 up to 128, no dropout.
inline bool dnn_has_attention(const AttentionParams& params, const Tensor& qkv) {
  const std::int64_t head_dim = qkv.shape().back() / (3 * params.heads);
  return is_half(qkv.dtype()) && head_dim % 8 == 0 && head_dim <= 128 && params.dropout == 0;
}

class Dnn {
 public:
  // Enqueues on `stream`, which stays the caller's.
  Dnn(cudaStream_t stream, const DnnOptions& options);
  ~Dnn();
  Dnn(const Dnn&) = delete;
  Dnn& operator=(const Dnn&) = delete;

  // All methods: tensors of one dtype, f32, bf16 or f16, in memory aligned to 16 bytes, with elements. The
  // first call with new shapes waits for the stream while it times; during a capture it throws Error instead,
  // because nothing can be timed then.
  // x [N,H,W,I], weight [O,KH,KW,I], y [N,OH,OW,O]
  void convolution(const Conv2dParams& params, const Tensor& x, const Tensor& weight, Tensor& y);
  void convolution_backward_input(const Conv2dParams& params, const Tensor& weight, const Tensor& dy,
                                  Tensor& dx);
  void convolution_backward_weight(const Conv2dParams& params, const Tensor& x, const Tensor& dy,
                                   Tensor& dweight);

  // Whether the two methods below may be called: dnn_has_attention, and this version of cuDNN is sound.
  bool supports_attention(const AttentionParams& params, const Tensor& qkv) const;
  // qkv [B,T,3*H*D], y [B,T,H*D], lse f32 [B,H,T], as in tensor/backend.h. Deterministic backward takes a
  // workspace of 2 B H T^2 bytes.
  void attention(const AttentionParams& params, const Tensor& qkv, Tensor& y, Tensor& lse);
  void attention_backward(const AttentionParams& params, const Tensor& qkv, const Tensor& y,
                          const Tensor& lse, const Tensor& dy, Tensor& dqkv);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sagitta::cuda
