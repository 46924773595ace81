// Node: one recorded operation, or a leaf that keeps its gradient.
// Invariant: a node owns the gradient of its output and edges to nodes, never to values; an activation lives
// only as long as an op struct saved it. Gradients are moved in when they are the first and added when they
// are not.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include "autograd/members.h"
#include "tensor/backend.h"

namespace sagitta::autograd {

class Node;
using NodePtr = std::shared_ptr<Node>;

class Node {
 public:
  // `output` describes the value this node is the gradient of.
  Node(std::vector<NodePtr> inputs, Spec output);
  virtual ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Where an op writes (part of) the gradient of this node's output: allocated on first use, added to
  // afterwards.
  virtual Target gradient_target();
  // Hands over a finished gradient without copying it when it is the first.
  virtual void add_gradient(Tensor gradient);
  virtual bool is_leaf() const { return false; }
  // The name of the op's struct, "Conv2d"; "Leaf" for a leaf.
  virtual std::string op_name() const = 0;
  // What the op keeps alive for backward.
  virtual std::vector<Tensor> saved() const = 0;

  // Spends the gradient: passes it on to the inputs, then drops everything saved and the edges.
  void run_backward();
  bool has_gradient() const { return static_cast<bool>(gradient_); }
  const std::vector<NodePtr>& inputs() const { return inputs_; }
  std::uint64_t creation_number() const { return creation_number_; }
  const Spec& output() const { return output_; }

 protected:
  virtual void backward(const Tensor& dy) = 0;
  virtual void release() = 0;  // drop saved tensors

  std::vector<NodePtr> inputs_;  // null: a constant, no gradient wanted
  Spec output_;
  Tensor gradient_;

 private:
  std::uint64_t creation_number_;
};

// The node whose backward this thread is in, the innermost if it runs others; null outside of backward(). For
// whoever watches the backend and wants to know what a call belongs to.
const Node* running_node();

// A leaf keeps what arrives. Its gradient buffer may be bound to memory of the ParameterArena.
class Leaf final : public Node {
 public:
  explicit Leaf(Spec output) : Node({}, std::move(output)) {}

  Target gradient_target() override;
  void add_gradient(Tensor gradient) override;
  bool is_leaf() const override { return true; }
  std::string op_name() const override { return "Leaf"; }
  std::vector<Tensor> saved() const override { return {}; }

  // The gradient; empty before the first backward().
  Tensor gradient() const { return filled_ ? gradient_ : Tensor(); }
  bool filled() const { return filled_; }
  // Forgets the gradient without writing memory: the next one overwrites.
  void clear() { filled_ = false; }
  // Takes the bound buffer for filled, whoever filled it: the next gradient is added.
  void keep() { filled_ = true; }
  // From now on gradients are written to `buffer` (same shape and dtype as the value).
  void bind(Tensor buffer) {
    gradient_ = std::move(buffer);
    filled_ = false;
  }

 protected:
  void backward(const Tensor&) override {}
  void release() override {}

 private:
  bool filled_ = false;
};

// What an op's backward sees of its inputs.
class Inputs {
 public:
  explicit Inputs(const std::vector<NodePtr>& nodes) : nodes_(nodes) {}
  bool wanted(std::size_t i) const { return nodes_[i] != nullptr; }
  // Empty when input i is a constant.
  Target target(std::size_t i) const { return wanted(i) ? nodes_[i]->gradient_target() : Target{}; }
  void add(std::size_t i, const Tensor& gradient) const {
    if (wanted(i)) nodes_[i]->add_gradient(gradient);
  }

 private:
  const std::vector<NodePtr>& nodes_;
};

// "Conv2d" of the type's full name.
std::string unqualified_name(const std::type_info& type);

// The node of one op. `Op` is a plain struct whose members are exactly what backward needs, with
//   void backward(const Tensor& dy, const Inputs& inputs);
template <class Op>
class OpNode final : public Node {
 public:
  OpNode(std::vector<NodePtr> inputs, Spec output, Op op)
      : Node(std::move(inputs), std::move(output)), op_(std::move(op)) {}

  std::string op_name() const override { return unqualified_name(typeid(Op)); }
  std::vector<Tensor> saved() const override {
    std::vector<Tensor> tensors;
    if (!op_) return tensors;
    for_each_member(*op_, [&](const auto& member) {
      if constexpr (std::is_same_v<decltype(member), const Tensor&>)
        if (member) tensors.push_back(member);
    });
    return tensors;
  }

 protected:
  void backward(const Tensor& dy) override {
    if (!op_) throw_released();
    op_->backward(dy, Inputs(inputs_));
  }
  void release() override { op_.reset(); }

 private:
  [[noreturn]] static void throw_released();
  std::optional<Op> op_;
};

[[noreturn]] void throw_graph_released();
template <class Op>
void OpNode<Op>::throw_released() {
  throw_graph_released();
}

}  // namespace sagitta::autograd
