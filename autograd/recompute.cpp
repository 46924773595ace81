#include "autograd/recompute.h"

namespace sagitta::autograd {
namespace {

bool& recomputing() {
  thread_local bool on = false;
  return on;
}

class RecomputeScope {
 public:
  RecomputeScope() : previous_(std::exchange(recomputing(), true)) {}
  ~RecomputeScope() { recomputing() = previous_; }
  RecomputeScope(const RecomputeScope&) = delete;

 private:
  bool previous_;
};

struct Block {
  std::function<Variable(const Variable&)> run;
  Tensor x;
  void backward(const Tensor& dy, const Inputs& inputs) {
    const Variable input = inputs.wanted(0) ? leaf(x) : Variable(x);
    Variable output;
    {
      const RecomputeScope scope;
      output = run(input);
    }
    if (!output.requires_gradient()) return;
    autograd::backward(output, dy);
    if (inputs.wanted(0)) inputs.add(0, input.gradient());
  }
};

}  // namespace

bool is_recomputing() { return recomputing(); }

Variable recompute(const Variable& x, std::function<Variable(const Variable&)> block) {
  if (!gradients_enabled()) return block(x);
  Tensor y;
  {
    const NoGradient scope;
    y = block(x).value();
  }
  // Recorded even when x is a constant: the block's own parameters want their gradients.
  auto node = std::make_shared<OpNode<Block>>(std::vector<NodePtr>{x.node()}, Spec(y),
                                              Block{std::move(block), x.value()});
  return Variable(std::move(y), std::move(node));
}

}  // namespace sagitta::autograd
