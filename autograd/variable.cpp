#include "autograd/variable.h"

#include <algorithm>
#include <unordered_set>

#include "tensor/error.h"

namespace sagitta::autograd {
namespace {

bool& gradients_on() {
  thread_local bool on = true;
  return on;
}

}  // namespace

NoGradient::NoGradient() : previous_(std::exchange(gradients_on(), false)) {}
NoGradient::~NoGradient() { gradients_on() = previous_; }
bool gradients_enabled() { return gradients_on(); }

Variable leaf(Tensor value) {
  auto node = std::make_shared<Leaf>(Spec(value));
  return Variable(std::move(value), std::move(node));
}

Tensor Variable::gradient() const {
  const auto* keeper = dynamic_cast<const Leaf*>(node_.get());
  require(keeper != nullptr, "gradient: only a leaf keeps its gradient");
  return keeper->gradient();
}

std::vector<NodePtr> backward_order(const NodePtr& root) {
  std::vector<NodePtr> order;
  std::unordered_set<const Node*> seen;
  const auto visit = [&](const NodePtr& node) {
    if (node && !node->is_leaf() && seen.insert(node.get()).second) order.push_back(node);
  };
  visit(root);
  for (std::size_t i = 0; i < order.size(); ++i) {
    const Node& node = *order[i];  // `order` grows below, the node itself stays
    for (const NodePtr& input : node.inputs()) visit(input);
  }
  std::sort(order.begin(), order.end(),
            [](const NodePtr& a, const NodePtr& b) { return a->creation_number() > b->creation_number(); });
  return order;
}

void backward(const Variable& output, Tensor seed) {
  require(output.requires_gradient(), "backward: the output depends on nothing that wants a gradient");
  if (!seed) seed = full(output.value().backend(), output.shape(), output.value().dtype(), 1);
  require(seed.shape() == output.shape(), "backward: seed has shape {}, expected {}", seed.shape(),
          output.shape());
  output.node()->add_gradient(std::move(seed));
  for (NodePtr& node : backward_order(output.node())) {
    node->run_backward();
    node.reset();
  }
}

}  // namespace sagitta::autograd
