// While an EvaluationMode lives, a model is in evaluation mode; afterwards every module is in the mode it was
// in, also where a part of the model had another one than the rest.
#pragma once
#include <utility>
#include <vector>

#include "nn/module.h"

namespace sagitta::nn {

class EvaluationMode {
 public:
  explicit EvaluationMode(Module& model) {
    for (const NamedModule& named : model.named_modules())
      before_.emplace_back(named.module, named.module->training());
    model.eval();
  }
  // train() reaches everything below a module, so parents come first, in the order of named_modules().
  ~EvaluationMode() {
    for (const auto& [module, training] : before_) module->train(training);
  }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  std::vector<std::pair<Module*, bool>> before_;
};

}  // namespace sagitta::nn
