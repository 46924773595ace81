// Dropout (Srivastava et al., 2014): identity in evaluation mode; in training its mask is a function of
// (seed, stream of this layer, micro-step), so a resumed or recomputed step draws the same mask.
#pragma once
#include "autograd/ops.h"
#include "nn/module.h"
#include "nn/parameter.h"

namespace sagitta::nn {

class Dropout : public Module {
 public:
  Dropout(Module* parent, std::string name, Context& context, double p)
      : Module(parent, std::move(name)),
        params_{.p = p, .stream = context.new_stream()},
        state_(context.step_state()) {}

  autograd::Variable operator()(const autograd::Variable& x) const {
    return training() ? autograd::dropout(x, params_, state_) : x;
  }

 private:
  DropoutParams params_;
  Tensor state_;
};

}  // namespace sagitta::nn
