// While a FrozenParameters lives, the parameters of a model are constants to autograd: gradients flow through
// the layers to their inputs, none is computed for a parameter, and gradients that were there (an arena's
// among them) stay untouched. For questions about a trained model - where did it look? - that may come in the
// middle of a training. Invariant: the model must not be run by another thread meanwhile, unless that one
// wants no gradients either.
#pragma once
#include <utility>
#include <vector>

namespace sagitta::nn {

class Module;
class Parameter;

class FrozenParameters {
 public:
  explicit FrozenParameters(const Module& model);
  ~FrozenParameters();  // as it was before
  FrozenParameters(const FrozenParameters&) = delete;
  FrozenParameters& operator=(const FrozenParameters&) = delete;

 private:
  std::vector<Parameter*> thawed_;  // those that this one froze
};

}  // namespace sagitta::nn
