#include "autograd/node.h"

#include <cxxabi.h>

#include <atomic>
#include <cstdlib>

#include "tensor/error.h"

namespace sagitta::autograd {
namespace {

// Creation order is a topological order of the graph; the number only ever grows.
std::uint64_t next_creation_number() {
  static std::atomic<std::uint64_t> counter{0};
  return counter.fetch_add(1, std::memory_order_relaxed);
}

const Node*& running() {
  thread_local const Node* node = nullptr;
  return node;
}

class RunningScope {
 public:
  explicit RunningScope(const Node* node) : previous_(std::exchange(running(), node)) {}
  ~RunningScope() { running() = previous_; }
  RunningScope(const RunningScope&) = delete;

 private:
  const Node* previous_;
};

}  // namespace

const Node* running_node() { return running(); }

std::string unqualified_name(const std::type_info& type) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> readable(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), std::free);
  const std::string name = readable ? readable.get() : type.name();
  const std::size_t colons = name.rfind("::");
  return colons == std::string::npos ? name : name.substr(colons + 2);
}

Node::Node(std::vector<NodePtr> inputs, Spec output)
    : inputs_(std::move(inputs)), output_(std::move(output)), creation_number_(next_creation_number()) {}

// Graphs are deep: letting shared_ptr destroy its successor recursively would overflow the stack.
Node::~Node() {
  std::vector<NodePtr> dying = std::move(inputs_);
  while (!dying.empty()) {
    NodePtr node = std::move(dying.back());
    dying.pop_back();
    if (node && node.use_count() == 1) {
      for (NodePtr& input : node->inputs_) dying.push_back(std::move(input));
      node->inputs_.clear();
    }
  }
}

Target Node::gradient_target() {
  const bool accumulate = has_gradient();
  if (!accumulate) {
    gradient_ = output_.empty();
  } else if (!gradient_.unique()) {
    // Someone else holds this memory (an add hands one gradient to both sides): write to a copy.
    Tensor own = gradient_.like();
    own.backend().convert(gradient_, own);
    gradient_ = std::move(own);
  }
  return {gradient_, accumulate};
}

void Node::add_gradient(Tensor gradient) {
  if (!has_gradient()) {
    gradient_ = std::move(gradient);
    return;
  }
  Tensor sum = gradient_.unique() ? gradient_ : gradient_.like();
  sum.backend().binary(BinaryOp::add, gradient_, gradient, sum);
  gradient_ = std::move(sum);
}

void Node::run_backward() {
  const Tensor dy = std::exchange(gradient_, Tensor());
  if (dy) {
    const RunningScope scope(this);
    backward(dy);
  }
  release();
  inputs_.clear();
}

Target Leaf::gradient_target() {
  if (!gradient_) gradient_ = output_.empty();
  return {gradient_, std::exchange(filled_, true)};
}

void Leaf::add_gradient(Tensor gradient) {
  const Target target = gradient_target();
  target.dst.backend().scale(gradient, 1, target);
}

void throw_graph_released() {
  fail("backward: this graph was already spent; run the forward pass again to get a new one");
}

}  // namespace sagitta::autograd
