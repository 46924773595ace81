// Batch normalization (Ioffe and Szegedy, 2015) with fused residual and ReLU, PyTorch's conventions.
#pragma once
#include "autograd/ops.h"
#include "nn/conv2d.h"
#include "nn/module.h"
#include "nn/parameter.h"

namespace sagitta::nn {

class BatchNorm : public Module {
 public:
  BatchNorm(Module* parent, std::string name, const Context& context, std::int64_t channels,
            double eps = 1e-5, double momentum = 0.1);

  struct Fused {
    autograd::Variable residual;  // added before the ReLU; may be absent
    bool relu = false;
  };
  // relu?(norm(x [..,C]) + residual?); batch statistics in training mode, running ones otherwise.
  autograd::Variable operator()(const autograd::Variable& x, const Fused& fused);
  autograd::Variable operator()(const autograd::Variable& x) { return (*this)(x, Fused()); }
  // The same of convolution(x) in one sweep, in evaluation without gradients; the convolution has no bias.
  autograd::Variable after(const Conv2d& convolution, const autograd::Variable& x, const Fused& fused);

  Parameter weight, bias;            // [C]
  Buffer running_mean, running_var;  // [C]
  Buffer num_batches_tracked;        // i64 []

 private:
  double eps_, momentum_;
};

}  // namespace sagitta::nn
