// Layer normalization over the last axis (Ba et al., 2016), with the residual sum in front as a fused form.
#pragma once
#include <utility>

#include "autograd/ops.h"
#include "nn/module.h"
#include "nn/parameter.h"

namespace sagitta::nn {

class LayerNorm : public Module {
 public:
  LayerNorm(Module* parent, std::string name, const Context& context, std::int64_t width, double eps = 1e-5)
      : Module(parent, std::move(name)),
        weight(this, "weight", context, {width},
               {.init = Init::constant(1), .role = Role::layer_norm_weight}),
        bias(this, "bias", context, {width}, {.init = Init::constant(0), .role = Role::layer_norm_bias}),
        eps_(eps) {}

  autograd::Variable operator()(const autograd::Variable& x) const {
    return autograd::layer_norm(x, weight, bias, eps_);
  }
  // {x + residual, norm(x + residual)}
  std::pair<autograd::Variable, autograd::Variable> operator()(const autograd::Variable& x,
                                                               const autograd::Variable& residual) const {
    return autograd::add_layer_norm(x, residual, weight, bias, eps_);
  }

  Parameter weight, bias;  // [width]

 private:
  double eps_;
};

}  // namespace sagitta::nn
