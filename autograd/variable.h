// Variable: a tensor and the node that receives its gradient; what the ops of this floor take and return.
// A null node is a constant. Variables are cheap handles; the graph behind them is spent by backward().
#pragma once
#include <utility>
#include <vector>

#include "autograd/node.h"

namespace sagitta::autograd {

class Variable {
 public:
  Variable() = default;  // absent: optional arguments of ops (a bias, a residual) are left out this way
  explicit Variable(Tensor value, NodePtr node = nullptr)
      : value_(std::move(value)), node_(std::move(node)) {}

  explicit operator bool() const { return static_cast<bool>(value_); }
  const Tensor& value() const { return value_; }
  const NodePtr& node() const { return node_; }
  const Shape& shape() const { return value_.shape(); }
  bool requires_gradient() const { return node_ != nullptr; }

  // The same value without its history.
  Variable detach() const { return Variable(value_); }
  // The gradient of a leaf; empty before backward(). Throws for anything but a leaf.
  Tensor gradient() const;

 private:
  Tensor value_;
  NodePtr node_;
};

// A value that collects its gradient: a parameter, or an input under test.
Variable leaf(Tensor value);

// While one lives, ops on this thread record nothing: evaluation, and the first pass of recompute().
class NoGradient {
 public:
  NoGradient();
  ~NoGradient();
  NoGradient(const NoGradient&) = delete;
  NoGradient& operator=(const NoGradient&) = delete;

 private:
  bool previous_;
};
bool gradients_enabled();

// Walks the graph behind `output` and leaves in every leaf the gradient of sum(output * seed); an empty seed
// stands for ones. Nodes run in descending order of creation and are released as soon as they are done; there
// is no recursion, so depth is bounded by memory only.
void backward(const Variable& output, Tensor seed = {});

// The ops behind `root`, itself included, newest first: in the order in which backward() runs them.
std::vector<NodePtr> backward_order(const NodePtr& root);

// The result of an op: wires `op` to its inputs when any of them wants a gradient.
template <class Op>
Variable record(Tensor value, const std::vector<Variable>& inputs, Op op) {
  std::vector<NodePtr> edges;
  bool wanted = false;
  for (const Variable& input : inputs) {
    edges.push_back(input.node());
    wanted |= input.requires_gradient();
  }
  if (!wanted || !gradients_enabled()) return Variable(std::move(value));
  auto node = std::make_shared<OpNode<Op>>(std::move(edges), Spec(value), std::move(op));
  return Variable(std::move(value), std::move(node));
}

}  // namespace sagitta::autograd
