#include "nn/frozen_parameters.h"

#include "nn/module.h"
#include "nn/parameter.h"

namespace sagitta::nn {

FrozenParameters::FrozenParameters(const Module& model) {
  for (const NamedParameter& named : model.named_parameters()) {
    if (named.parameter->frozen()) continue;
    named.parameter->freeze(true);
    thawed_.push_back(named.parameter);
  }
}

FrozenParameters::~FrozenParameters() {
  for (Parameter* parameter : thawed_) parameter->freeze(false);
}

}  // namespace sagitta::nn
