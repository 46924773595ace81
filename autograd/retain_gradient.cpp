#include "autograd/retain_gradient.h"

namespace sagitta::autograd {
namespace {

struct Retain {
  RetainedGradient kept;
  void backward(const Tensor& dy, const Inputs& inputs) {
    kept.set(dy);
    inputs.add(0, dy);
  }
};

}  // namespace

Variable retain_gradient(const Variable& x, const RetainedGradient& kept) {
  return record(x.value(), {x}, Retain{kept});
}

}  // namespace sagitta::autograd
