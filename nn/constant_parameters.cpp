#include "nn/constant_parameters.h"

#include "nn/module.h"
#include "nn/parameter.h"

namespace sagitta::nn {

ConstantParameters::ConstantParameters(const Module& model) {
  for (const NamedParameter& named : model.named_parameters()) {
    tensors_.push_back(named.parameter->value());
    if (named.parameter->copy()) tensors_.push_back(named.parameter->copy());
  }
  for (const Tensor& tensor : tensors_) tensor.begin_constant();
}

ConstantParameters::~ConstantParameters() {
  for (const Tensor& tensor : tensors_) tensor.end_constant();
}

}  // namespace sagitta::nn
