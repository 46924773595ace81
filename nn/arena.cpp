#include "nn/arena.h"

#include "tensor/error.h"

namespace sagitta::nn {

bool decays(DecayPolicy policy, Role role) {
  switch (policy) {
    case DecayPolicy::all: return true;
    case DecayPolicy::huggingface:
      return role == Role::weight || role == Role::embedding || role == Role::batch_norm_weight;
    case DecayPolicy::torchvision: return !is_norm(role);
    case DecayPolicy::weights: return role == Role::weight;
  }
  return true;
}

ParameterArena::ParameterArena(Module& model, double weight_decay, DecayPolicy policy) {
  std::int64_t size = 0;
  std::vector<std::int64_t> ends;
  std::vector<float> decay;
  for (const NamedParameter& named : model.named_parameters()) {
    entries_.push_back({named.name, named.parameter, size});
    size += (named.parameter->shape().numel() + kAlignment - 1) / kAlignment * kAlignment;
    const float value = decays(policy, named.parameter->role()) ? static_cast<float>(weight_decay) : 0.0F;
    if (!decay.empty() && decay.back() == value) {
      ends.back() = size;
    } else {
      ends.push_back(size);
      decay.push_back(value);
    }
  }
  require(!entries_.empty(), "arena: the model has no parameters");
  const Tensor& first = entries_.front().parameter->value();
  values_ = zeros(first.backend(), {size}, first.dtype());
  gradients_ = zeros(first.backend(), {size}, first.dtype());
  for (const Entry& entry : entries_)
    if (const Tensor& copy = entry.parameter->copy(); copy && !copies_)
      copies_ = zeros(first.backend(), {size}, copy.dtype());
  const auto segments = static_cast<std::int64_t>(ends.size());
  segments_ = {from_host(first.backend(), {segments}, ends), from_host(first.backend(), {segments}, decay)};
  for (const Entry& entry : entries_) {
    Parameter& parameter = *entry.parameter;
    require(parameter.value().dtype() == values_.dtype(), "arena: parameter {} is {}, expected {}",
            entry.name, name_of(parameter.value().dtype()), name_of(values_.dtype()));
    const std::int64_t end = entry.offset + parameter.shape().numel();
    const auto part_of = [&](const Tensor& buffer) {
      return buffer ? buffer.slice(entry.offset, end).reshape(parameter.shape()) : Tensor();
    };
    parameter.rebind(part_of(values_), part_of(gradients_), part_of(copies_));
  }
}

void ParameterArena::clear_gradients() {
  for (const Entry& entry : entries_) entry.parameter->leaf().clear();
}

void ParameterArena::keep_gradients() {
  for (const Entry& entry : entries_) entry.parameter->leaf().keep();
}

void ParameterArena::complete_gradients() {
  for (const Entry& entry : entries_) {
    autograd::Leaf& leaf = entry.parameter->leaf();
    if (leaf.filled()) continue;
    Target target = leaf.gradient_target();
    target.dst.backend().fill(target.dst, 0);
  }
}

}  // namespace sagitta::nn
