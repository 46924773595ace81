// While a ConstantParameters lives, the parameters of a model do not change, and the backend keeps what it
// makes of them: on the CPU the packed and transformed weights, which for a single image are a sixth of
// ResNet-50's time. Training or loading the model meanwhile is an error; so is writing to its tensors, which
// nobody notices. Several may live at once, on several threads.
//
//   model.eval();
//   const autograd::NoGradient no_gradient;
//   const nn::ConstantParameters constant(model);
//   for (...) model.logits(images);
#pragma once
#include <vector>

#include "tensor/tensor.h"

namespace sagitta::nn {

class Module;

class ConstantParameters {
 public:
  explicit ConstantParameters(const Module& model);
  ~ConstantParameters();
  ConstantParameters(const ConstantParameters&) = delete;
  ConstantParameters& operator=(const ConstantParameters&) = delete;

 private:
  std::vector<Tensor> tensors_;
};

}  // namespace sagitta::nn
