// CudaBackend: every op of the contract on one NVIDIA GPU, in f32, bf16 and f16.
// One .cu per family of ops, forward beside backward; matrix products go through blas.h, convolutions and the
// shipped attention through dnn.h, everything else is written here. Asynchronous on one stream; f64 exists
// for fill and convert only. Invariant: with Options::deterministic the same inputs give the same bits.
#pragma once
#include <memory>

#include "cuda/allocator.h"
#include "cuda/blas.h"
#include "cuda/context.h"
#include "cuda/cuda.h"
#include "cuda/dnn.h"
#include "cuda/upload.h"
#include "tensor/backend.h"

namespace sagitta::cuda {

class CudaBackend final : public Backend {
 public:
  CudaBackend(int index, const Options& options);
  ~CudaBackend() override;

  // cuda_backend.cpp
  Device device() const override { return {Device::Kind::cuda, context_.index()}; }
  void* allocate(std::size_t bytes) override { return allocator_.allocate(bytes); }
  void release(void* memory, std::size_t bytes) override { allocator_.release(memory, bytes); }
  MemoryUse memory_use() const override { return allocator_.use(); }
  void write(const void* host, Tensor& y) override;
  void read(const Tensor& x, void* host) override;
  void synchronize() override;
  std::unique_ptr<Captured> capture(std::function<void()> work) override;

  // elementwise.cu
  void fill(Tensor& y, double value) override;
  void convert(const Tensor& x, Tensor& y) override;
  void increment(Tensor& counter) override;
  void scale(const Tensor& x, double alpha, const Target& y) override;
  void unary(UnaryOp op, const Tensor& x, Tensor& y) override;
  void unary_backward(UnaryOp op, const Tensor& saved, const Tensor& dy, const Target& dx) override;
  void binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& y) override;
  void binary_backward(BinaryOp op, const Tensor& a, const Tensor& b, const Tensor& dy, const Target& da,
                       const Target& db) override;
  void scale_by(const Tensor& x, const Tensor& scalar, const Target& y) override;
  void add_bias(const Tensor& x, const Tensor& bias, Tensor& y) override;

  // sums.cu
  void sum(const Tensor& x, Tensor& y) override;
  void squared_norm(const Tensor& x, Tensor& y) override;
  void sum_rows(const Tensor& x, const Target& y) override;

  // matmul.cpp
  void matmul(const MatmulParams& params, const Tensor& a, const Tensor& b, const Target& y) override;
  void linear(const LinearParams& params, const Tensor& x, const Tensor& weight, const Tensor& bias,
              Tensor& pre, Tensor& y) override;
  void linear_backward(const LinearParams& params, const Tensor& x, const Tensor& weight, const Tensor& saved,
                       const Tensor& dy, const Target& dx, const Target& dweight,
                       const Target& dbias) override;

  // conv.cu
  void conv2d(const Conv2dParams& params, const Tensor& x, const Tensor& weight, Tensor& y) override;
  void conv2d_backward_input(const Conv2dParams& params, const Tensor& weight, const Tensor& dy,
                             const Target& dx) override;
  void conv2d_backward_weight(const Conv2dParams& params, const Tensor& x, const Tensor& dy,
                              const Target& dweight) override;

  // batch_norm.cu
  void batch_norm(const BatchNormParams& params, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                  Tensor& running_mean, Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd) override;
  void batch_norm_backward(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                           const Tensor& mean, const Tensor& rstd, const Tensor& dy, const Target& dx,
                           const Target& dgamma, const Target& dbeta) override;
  void batch_norm_add_relu(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                           const Tensor& beta, const Tensor& residual, Tensor& running_mean,
                           Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd) override;
  void batch_norm_add_relu_backward(const BatchNormParams& params, const Tensor& x, const Tensor& y,
                                    const Tensor& gamma, const Tensor& mean, const Tensor& rstd,
                                    const Tensor& dy, const Target& dx, const Target& dgamma,
                                    const Target& dbeta, const Target& dresidual) override;

  // layer_norm.cu
  void layer_norm(double eps, const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& y,
                  Tensor& mean, Tensor& rstd) override;
  void layer_norm_backward(const Tensor& x, const Tensor& gamma, const Tensor& mean, const Tensor& rstd,
                           const Tensor& dy, const Target& dx, const Target& dgamma,
                           const Target& dbeta) override;
  void add_layer_norm(double eps, const Tensor& x, const Tensor& residual, const Tensor& gamma,
                      const Tensor& beta, Tensor& sum, Tensor& y, Tensor& mean, Tensor& rstd) override;

  // attention.cpp: cuDNN's where it may be used, else flash_attention.h
  void attention(const AttentionParams& params, const Tensor& state, const Tensor& qkv, Tensor& y,
                 Tensor& lse) override;
  void attention_backward(const AttentionParams& params, const Tensor& state, const Tensor& qkv,
                          const Tensor& y, const Tensor& lse, const Tensor& dy, const Target& dqkv) override;

  // pool.cu
  void max_pool(const PoolParams& params, const Tensor& x, Tensor& y, Tensor& indices) override;
  void max_pool_backward(const PoolParams& params, const Tensor& indices, const Tensor& dy,
                         const Target& dx) override;
  void global_avg_pool(const Tensor& x, Tensor& y) override;
  void global_avg_pool_backward(const Tensor& dy, const Target& dx) override;

  // tokens.cu
  void prepend_token(const Tensor& patches, const Tensor& cls, const Tensor& positions, Tensor& y) override;
  void prepend_token_backward(const Tensor& dy, const Target& dpatches, const Target& dcls,
                              const Target& dpositions) override;
  void select_token(const Tensor& x, std::int64_t index, Tensor& y) override;
  void select_token_backward(const Tensor& dy, std::int64_t index, const Target& dx) override;

  // resize.cu
  void resize_bicubic(const Tensor& x, Tensor& y) override;
  void resize_bicubic_backward(const Tensor& dy, const Target& dx) override;

  // dropout.cu
  void dropout(const DropoutParams& params, const Tensor& state, const Tensor& x, Tensor& y) override;
  void dropout_backward(const DropoutParams& params, const Tensor& state, const Tensor& dy,
                        const Target& dx) override;

  // loss.cu
  void softmax_cross_entropy(const CrossEntropyParams& params, const Tensor& logits, const Tensor& labels,
                             Tensor& loss, Tensor& dlogits) override;
  void bce_with_logits(const Tensor& logits, const Tensor& targets, const Tensor& pos_weight,
                       const Tensor& weight, Tensor& loss, Tensor& dlogits) override;

  // input.cu
  void normalize_image(const ImageParams& params, const Tensor& pixels, const Tensor& crop,
                       Tensor& y) override;

  // optimizer.cu
  void sgd(const SgdParams& params, const ParameterUpdate& update, Tensor& momentum) override;
  void adam(const AdamParams& params, const ParameterUpdate& update, Tensor& first_moment,
            Tensor& second_moment) override;
  void update_average(double decay, const Tensor& x, Tensor& mean) override;
  void update_loss_scale(const LossScaleParams& params, const Tensor& norm2, Tensor& loss_scale) override;

 private:
  cudaStream_t stream() const { return context_.stream(); }
  // Uninitialized f32 scratch; may be dropped as soon as the kernels that use it are enqueued.
  Tensor scratch(std::int64_t count) { return Tensor(*this, {count}, DType::f32); }

  Options options_;
  Context context_;
  Allocator allocator_;
  Uploader uploader_;
  std::unique_ptr<Blas> blas_;
  std::unique_ptr<Dnn> dnn_;
};

}  // namespace sagitta::cuda
