#include "apps/observe/layer_names.h"

#include "nn/parameter.h"

namespace sagitta::apps {
namespace {

std::string_view layer_of_parameter(std::string_view parameter) {
  const std::size_t dot = parameter.rfind('.');
  return dot == std::string_view::npos ? parameter : parameter.substr(0, dot);
}

}  // namespace

LayerNames::LayerNames(const nn::Module& model) {
  for (const nn::NamedParameter& named : model.named_parameters()) {
    const nn::Parameter& parameter = *named.parameter;
    const std::string& name = names_.emplace(&parameter.leaf(), named.name).first->second;
    add_memory(parameter.value(), name);
    add_memory(parameter.copy(), name);
  }
}

void LayerNames::add_memory(const Tensor& tensor, std::string_view name) {
  if (tensor) memory_[tensor.raw()] = {tensor.raw() + tensor.bytes(), name};
}

std::string_view LayerNames::parameter_at(const Tensor& tensor) const {
  auto above = memory_.upper_bound(tensor.raw());
  if (above == memory_.begin()) return {};
  const Memory& memory = std::prev(above)->second;
  // An arena's buffer begins where its first parameter does, and ends elsewhere.
  return tensor.raw() + tensor.bytes() <= memory.end ? memory.name : std::string_view();
}

std::string_view LayerNames::parameter_of(const autograd::NodePtr& node) const {
  if (!node) return {};
  if (const auto found = names_.find(node.get()); found != names_.end()) return found->second;
  // The cast of a parameter that ops read through a 16-bit copy.
  const auto& inputs = node->inputs();
  if (inputs.size() != 1 || node->op_name() != "Cast") return {};
  const auto found = names_.find(inputs[0].get());
  return found != names_.end() ? std::string_view(found->second) : std::string_view();
}

std::string_view LayerNames::layer_of(const BackendCall& call) const {
  for (const Operand& operand : call.operands)
    if (const std::string_view name = parameter_at(operand.tensor); !name.empty())
      return layer_of_parameter(name);
  const autograd::Node* const node = autograd::running_node();
  return node != nullptr ? layer_of(*node) : std::string_view();
}

std::string_view LayerNames::layer_of(const autograd::Node& node) const {
  for (const autograd::NodePtr& input : node.inputs())
    if (const std::string_view name = parameter_of(input); !name.empty()) return layer_of_parameter(name);
  return {};
}

}  // namespace sagitta::apps
