// retain_gradient: keeps the gradient of a value in the middle of a graph, which backward() would spend
// (PyTorch's retain_grad). An op like any other, the identity: who wants the gradient puts it where the value
// is used, and no node has to know about it.
#pragma once
#include <memory>
#include <utility>

#include "autograd/variable.h"

namespace sagitta::autograd {

// Where a gradient is left; copies share it.
class RetainedGradient {
 public:
  // The sum over all uses of the retained value; empty before backward(), and where it never arrived.
  const Tensor& gradient() const { return *gradient_; }
  void set(Tensor gradient) const { *gradient_ = std::move(gradient); }

 private:
  std::shared_ptr<Tensor> gradient_ = std::make_shared<Tensor>();
};

// x, to be used in its place: whatever gradient flows back through the result also stays in `kept`, as the
// tensor that goes on to x (it is not copied, and not to be written to). A constant x collects none. One call
// per `kept`.
Variable retain_gradient(const Variable& x, const RetainedGradient& kept);

}  // namespace sagitta::autograd
