#include "nn/module.h"

#include "nn/parameter.h"

namespace sagitta::nn {

Module::Module(Module* parent, std::string name) : name_(std::move(name)) {
  parent->children_.push_back(this);
}

std::string join_name(const std::string& prefix, const std::string& name) {
  if (prefix.empty() || name.empty()) return prefix + name;
  return prefix + "." + name;
}

std::vector<NamedModule> Module::named_modules() const {
  std::vector<NamedModule> found{{"", const_cast<Module*>(this)}};
  for (Module* child : children_)
    for (NamedModule& below : child->named_modules())
      found.push_back({join_name(child->name_, below.name), below.module});
  return found;
}

std::vector<NamedParameter> Module::named_parameters() const {
  std::vector<NamedParameter> found;
  for (const NamedModule& entry : named_modules())
    for (Parameter* parameter : entry.module->parameters_)
      found.push_back({join_name(entry.name, parameter->name()), parameter});
  return found;
}

std::vector<NamedBuffer> Module::named_buffers() const {
  std::vector<NamedBuffer> found;
  for (const NamedModule& entry : named_modules())
    for (Buffer* buffer : entry.module->buffers_)
      found.push_back({join_name(entry.name, buffer->name()), buffer});
  return found;
}

void Module::freeze(bool on) {
  frozen_ = on;
  for (Parameter* parameter : parameters_) parameter->freeze(on);
  for (Module* child : children_) child->freeze(on);
}

void Module::train(bool on) {
  training_ = on;
  for (Module* child : children_) child->train(on);
}

}  // namespace sagitta::nn
