// The op behind every sum of two values, also one that a fused kernel computed.
#pragma once
#include "autograd/node.h"

namespace sagitta::autograd {

// The gradient of a sum is the gradient of each term: handed to both without a copy.
struct Addition {
  void backward(const Tensor& dy, const Inputs& inputs) {
    inputs.add(0, dy);
    inputs.add(1, dy);
  }
};

}  // namespace sagitta::autograd
