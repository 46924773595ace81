// ShapeBackend: runs a model without computing anything, and notes what would have been computed.
// Its kernels do nothing and its memory is never touched, so a forward pass of the largest model takes
// milliseconds and no memory; shapes are checked as always, by autograd/. The summary of a model is made from
// the calls it records.
#pragma once
#include <vector>

#include "tensor/backend.h"

namespace sagitta::models {

class ShapeBackend : public Backend {
 public:
  // One layer that ran.
  struct Call {
    const std::byte* weight = nullptr;  // memory of the layer's weight; null for ops without parameters
    Shape output;                       // as the backend sees it: rows of a linear layer are flattened
    std::int64_t multiply_adds = 0;     // of matrix products and convolutions
  };
  const std::vector<Call>& calls() const { return calls_; }

  Device device() const override { return {}; }
  void* allocate(std::size_t bytes) override;
  void release(void* memory, std::size_t bytes) override;
  MemoryUse memory_use() const override { return {}; }

  // The ops that the summary counts.
  void matmul(const MatmulParams& params, const Tensor& a, const Tensor& b, const Target& y) override;
  void linear(const LinearParams& params, const Tensor& x, const Tensor& weight, const Tensor& bias,
              Tensor& pre, Tensor& y) override;
  void conv2d(const Conv2dParams& params, const Tensor& x, const Tensor& weight, Tensor& y) override;
  void batch_norm(const BatchNormParams& params, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                  Tensor& running_mean, Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd) override;
  void layer_norm(double eps, const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& y,
                  Tensor& mean, Tensor& rstd) override;
  void attention(const AttentionParams& params, const Tensor& state, const Tensor& qkv, Tensor& y,
                 Tensor& lse) override;

  // Everything else computes nothing.
  void write(const void*, Tensor&) override {}
  void read(const Tensor&, void*) override;  // throws: there are no values
  void synchronize() override {}
  void fill(Tensor&, double) override {}
  void convert(const Tensor&, Tensor&) override {}
  void increment(Tensor&) override {}
  void scale(const Tensor&, double, const Target&) override {}
  void unary(UnaryOp, const Tensor&, Tensor&) override {}
  void unary_backward(UnaryOp, const Tensor&, const Tensor&, const Target&) override {}
  void binary(BinaryOp, const Tensor&, const Tensor&, Tensor&) override {}
  void binary_backward(BinaryOp, const Tensor&, const Tensor&, const Tensor&, const Target&,
                       const Target&) override {}
  void scale_by(const Tensor&, const Tensor&, const Target&) override {}
  void sum(const Tensor&, Tensor&) override {}
  void squared_norm(const Tensor&, Tensor&) override {}
  void add_bias(const Tensor&, const Tensor&, Tensor&) override {}
  void sum_rows(const Tensor&, const Target&) override {}
  void conv2d_backward_input(const Conv2dParams&, const Tensor&, const Tensor&, const Target&) override {}
  void conv2d_backward_weight(const Conv2dParams&, const Tensor&, const Tensor&, const Target&) override {}
  void batch_norm_backward(const BatchNormParams&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                           const Tensor&, const Target&, const Target&, const Target&) override {}
  void layer_norm_backward(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                           const Target&, const Target&, const Target&) override {}
  void attention_backward(const AttentionParams&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                          const Tensor&, const Target&) override {}
  void max_pool(const PoolParams&, const Tensor&, Tensor&, Tensor&) override {}
  void max_pool_backward(const PoolParams&, const Tensor&, const Tensor&, const Target&) override {}
  void global_avg_pool(const Tensor&, Tensor&) override {}
  void global_avg_pool_backward(const Tensor&, const Target&) override {}
  void prepend_token(const Tensor&, const Tensor&, const Tensor&, Tensor&) override {}
  void prepend_token_backward(const Tensor&, const Target&, const Target&, const Target&) override {}
  void select_token(const Tensor&, std::int64_t, Tensor&) override {}
  void select_token_backward(const Tensor&, std::int64_t, const Target&) override {}
  void resize_bicubic(const Tensor&, Tensor&) override {}
  void resize_bicubic_backward(const Tensor&, const Target&) override {}
  void dropout(const DropoutParams&, const Tensor&, const Tensor&, Tensor&) override {}
  void dropout_backward(const DropoutParams&, const Tensor&, const Tensor&, const Target&) override {}
  void softmax_cross_entropy(const CrossEntropyParams&, const Tensor&, const Tensor&, Tensor&,
                             Tensor&) override {}
  void bce_with_logits(const Tensor&, const Tensor&, const Tensor&, const Tensor&, Tensor&,
                       Tensor&) override {}
  void normalize_image(const ImageParams&, const Tensor&, const Tensor&, Tensor&) override {}
  void sgd(const SgdParams&, const ParameterUpdate&, Tensor&) override {}
  void adam(const AdamParams&, const ParameterUpdate&, Tensor&, Tensor&) override {}
  void update_average(double, const Tensor&, Tensor&) override {}
  void update_loss_scale(const LossScaleParams&, const Tensor&, Tensor&) override {}

 private:
  std::vector<Call> calls_;
};

}  // namespace sagitta::models
