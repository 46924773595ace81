// LayerNames: which layer of a model a backend call belongs to, told by the parameters that it touches.
// A call knows tensors, not layers; but a layer's weight lies at an address of its own, and in backward the
// node that runs (autograd/node.h) leads to the leaves of its parameters, whatever stands between them.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "autograd/node.h"
#include "nn/module.h"
#include "tensor/observed_backend.h"

namespace sagitta::apps {

class LayerNames {
 public:
  // Of the parameters where they lie now: a ParameterArena, or weights that lie in their file, move them, so
  // this is made afterwards. The model must outlive it.
  explicit LayerNames(const nn::Module& model);

  // Full name of the parameter in whose value or 16-bit copy the tensor lies; empty when there is none.
  std::string_view parameter_at(const Tensor& tensor) const;
  // Full name of the parameter that the node collects the gradient of, also if a cast stands before it.
  std::string_view parameter_of(const autograd::NodePtr& node) const;

  // The layer of the first parameter among a call's operands, or else among the inputs of the node whose
  // backward makes the call: "encoder.layer.0.output" for ".weight" below it. Empty when there is none.
  std::string_view layer_of(const BackendCall& call) const;
  // The layer of the first parameter among the node's inputs; empty when there is none.
  std::string_view layer_of(const autograd::Node& node) const;

 private:
  struct Memory {
    const std::byte* end;
    std::string_view name;
  };
  void add_memory(const Tensor& tensor, std::string_view name);

  std::unordered_map<const autograd::Node*, std::string> names_;  // by leaf
  std::map<const std::byte*, Memory> memory_;                     // by its begin
};

}  // namespace sagitta::apps
