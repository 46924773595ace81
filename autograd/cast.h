// The op behind every change of dtype: autograd::cast, and parameters that are read through a 16-bit copy.
#pragma once
#include "autograd/node.h"

namespace sagitta::autograd {

// Rounding is taken for the identity: the gradient is only converted, straight into the target.
struct Cast {
  void backward(const Tensor& dy, const Inputs& inputs) {
    if (const Target dx = inputs.target(0)) dy.backend().scale(dy, 1, dx);
  }
};

}  // namespace sagitta::autograd
