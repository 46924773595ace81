// ShapeBackend: runs a model without computing anything, and notes what would have been computed.
// Its kernels do nothing and its memory is never touched, so a forward pass of the largest model takes
// milliseconds and no memory; shapes are checked as always, by autograd/. The summary of a model is made from
// the calls it records.
#pragma once
#include <vector>

#include "tensor/intercepting_backend.h"

namespace sagitta::models {

class ShapeBackend : public InterceptingBackend<ShapeBackend> {
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

  // Composed, so that the ops above are seen in them.
  void batch_norm_add_relu(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                           const Tensor& beta, const Tensor& residual, Tensor& running_mean,
                           Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd) override;
  void conv2d_batch_norm(const ConvNormParams& params, const Tensor& x, const Tensor& weight,
                         const Tensor& gamma, const Tensor& beta, const Tensor& running_mean,
                         const Tensor& running_var, const Tensor& residual, Tensor& y) override;
  void add_layer_norm(double eps, const Tensor& x, const Tensor& residual, const Tensor& gamma,
                      const Tensor& beta, Tensor& sum, Tensor& y, Tensor& mean, Tensor& rstd) override;

  void write(const void*, Tensor&) override {}
  void read(const Tensor&, void*) override;  // throws: there are no values
  void synchronize() override {}

 private:
  friend class InterceptingBackend<ShapeBackend>;
  // All other ops compute nothing.
  template <std::size_t N, class... Params>
  void intercept(const char*, const OperandName (&)[N], void (Backend::*)(Params...),
                 std::type_identity_t<Params>...) {}

  std::vector<Call> calls_;
};

}  // namespace sagitta::models
