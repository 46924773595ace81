// CpuBackend: every op of the contract on the processor, in f32 and f64 from the same templates; tensors of
// the 16-bit types can be filled, converted and scaled, nothing else. Synchronous: an op is done when its
// call returns. One .cpp per family of ops; the matrix products all run through gemm.h. Invariant: the same
// inputs give the same bits, whatever the number of threads and however often repeated.
#pragma once
#include "tensor/backend.h"
#include "tensor/cpu/allocator.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

class CpuBackend final : public Backend {
 public:
  Device device() const override { return {Device::Kind::cpu, 0}; }

  // cpu_backend.cpp
  void* allocate(std::size_t bytes) override { return allocator_.allocate(bytes); }
  void release(void* memory, std::size_t bytes) override { allocator_.release(memory, bytes); }
  MemoryUse memory_use() const override { return allocator_.use(); }
  void write(const void* host, Tensor& y) override;
  void read(const Tensor& x, void* host) override;
  void synchronize() override {}
  void fill(Tensor& y, double value) override;
  void convert(const Tensor& x, Tensor& y) override;
  void increment(Tensor& counter) override;

  // elementwise.cpp
  void scale(const Tensor& x, double alpha, const Target& y) override;
  void unary(UnaryOp op, const Tensor& x, Tensor& y) override;
  void unary_backward(UnaryOp op, const Tensor& saved, const Tensor& dy, const Target& dx) override;
  void binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& y) override;
  void binary_backward(BinaryOp op, const Tensor& a, const Tensor& b, const Tensor& dy, const Target& da,
                       const Target& db) override;
  void scale_by(const Tensor& x, const Tensor& scalar, const Target& y) override;
  void sum(const Tensor& x, Tensor& y) override;
  void squared_norm(const Tensor& x, Tensor& y) override;
  void add_bias(const Tensor& x, const Tensor& bias, Tensor& y) override;
  void sum_rows(const Tensor& x, const Target& y) override;

  // gemm.cpp
  void matmul(const MatmulParams& params, const Tensor& a, const Tensor& b, const Target& y) override;
  void linear(const LinearParams& params, const Tensor& x, const Tensor& weight, const Tensor& bias,
              Tensor& pre, Tensor& y) override;

  // conv.cpp
  void conv2d(const Conv2dParams& params, const Tensor& x, const Tensor& weight, Tensor& y) override;
  void conv2d_batch_norm(const ConvNormParams& params, const Tensor& x, const Tensor& weight,
                         const Tensor& gamma, const Tensor& beta, const Tensor& running_mean,
                         const Tensor& running_var, const Tensor& residual, Tensor& y) override;
  void conv2d_backward_input(const Conv2dParams& params, const Tensor& weight, const Tensor& dy,
                             const Target& dx) override;
  void conv2d_backward_weight(const Conv2dParams& params, const Tensor& x, const Tensor& dy,
                              const Target& dweight) override;

  // batch_norm.cpp
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

  // layer_norm.cpp
  void layer_norm(double eps, const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& y,
                  Tensor& mean, Tensor& rstd) override;
  void layer_norm_backward(const Tensor& x, const Tensor& gamma, const Tensor& mean, const Tensor& rstd,
                           const Tensor& dy, const Target& dx, const Target& dgamma,
                           const Target& dbeta) override;
  void add_layer_norm(double eps, const Tensor& x, const Tensor& residual, const Tensor& gamma,
                      const Tensor& beta, Tensor& sum, Tensor& y, Tensor& mean, Tensor& rstd) override;

  // attention.cpp
  void attention(const AttentionParams& params, const Tensor& state, const Tensor& qkv, Tensor& y,
                 Tensor& lse) override;
  void attention_backward(const AttentionParams& params, const Tensor& state, const Tensor& qkv,
                          const Tensor& y, const Tensor& lse, const Tensor& dy, const Target& dqkv) override;

  // pool.cpp
  void max_pool(const PoolParams& params, const Tensor& x, Tensor& y, Tensor& indices) override;
  void max_pool_backward(const PoolParams& params, const Tensor& indices, const Tensor& dy,
                         const Target& dx) override;
  void global_avg_pool(const Tensor& x, Tensor& y) override;
  void global_avg_pool_backward(const Tensor& dy, const Target& dx) override;

  // tokens.cpp
  void prepend_token(const Tensor& patches, const Tensor& cls, const Tensor& positions, Tensor& y) override;
  void prepend_token_backward(const Tensor& dy, const Target& dpatches, const Target& dcls,
                              const Target& dpositions) override;
  void select_token(const Tensor& x, std::int64_t index, Tensor& y) override;
  void select_token_backward(const Tensor& dy, std::int64_t index, const Target& dx) override;

  // resize.cpp
  void resize_bicubic(const Tensor& x, Tensor& y) override;
  void resize_bicubic_backward(const Tensor& dy, const Target& dx) override;

  // dropout.cpp
  void dropout(const DropoutParams& params, const Tensor& state, const Tensor& x, Tensor& y) override;
  void dropout_backward(const DropoutParams& params, const Tensor& state, const Tensor& dy,
                        const Target& dx) override;

  // loss.cpp
  void softmax_cross_entropy(const CrossEntropyParams& params, const Tensor& logits, const Tensor& labels,
                             Tensor& loss, Tensor& dlogits) override;
  void bce_with_logits(const Tensor& logits, const Tensor& targets, const Tensor& pos_weight,
                       const Tensor& weight, Tensor& loss, Tensor& dlogits) override;

  // image_input.cpp
  void normalize_image(const ImageParams& params, const Tensor& pixels, const Tensor& crop,
                       Tensor& y) override;

  // optim.cpp
  void sgd(const SgdParams& params, const ParameterUpdate& update, Tensor& momentum) override;
  void adam(const AdamParams& params, const ParameterUpdate& update, Tensor& first_moment,
            Tensor& second_moment) override;
  void update_average(double decay, const Tensor& x, Tensor& mean) override;
  void update_loss_scale(const LossScaleParams& params, const Tensor& norm2, Tensor& loss_scale) override;

 private:
  CachingAllocator allocator_;
};

}  // namespace sagitta::cpu::inline SAGITTA_ISA
