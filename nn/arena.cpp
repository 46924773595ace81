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

ParameterArena::ParameterArena(Module& model, double weight_decay, DecayPolicy policy, Rate rate)
    : weight_decay_(weight_decay), policy_(policy), rate_(std::move(rate)) {
  std::int64_t size = 0;
  for (const NamedParameter& named : model.named_parameters()) {
    entries_.push_back({named.name, named.parameter, size});
    size += (named.parameter->shape().numel() + kAlignment - 1) / kAlignment * kAlignment;
  }
  require(!entries_.empty(), "arena: the model has no parameters");
  const Tensor& first = entries_.front().parameter->value();
  values_ = zeros(first.backend(), {size}, first.dtype());
  gradients_ = zeros(first.backend(), {size}, first.dtype());
  for (const Entry& entry : entries_)
    if (const Tensor& copy = entry.parameter->copy(); copy && !copies_)
      copies_ = zeros(first.backend(), {size}, copy.dtype());
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
  settle_frozen();
}

double ParameterArena::decay_of(const Parameter& parameter) const {
  return decays(policy_, parameter.role()) ? weight_decay_ : 0;
}

void ParameterArena::settle_frozen() {
  std::vector<std::int64_t> ends;
  std::vector<float> decay, rate;
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    Parameter& parameter = *entries_[i].parameter;
    const std::int64_t end = i + 1 < entries_.size() ? entries_[i + 1].offset : values_.numel();
    const auto own_decay = static_cast<float>(decay_of(parameter));
    const auto own_rate = static_cast<float>(parameter.frozen() ? 0 : rate_ ? rate_(parameter) : 1);
    if (!ends.empty() && decay.back() == own_decay && rate.back() == own_rate) {
      ends.back() = end;
    } else {
      ends.push_back(end);
      decay.push_back(own_decay);
      rate.push_back(own_rate);
    }
    Tensor gradient = gradients_.slice(entries_[i].offset, end);
    if (parameter.frozen()) gradient.backend().fill(gradient, 0);
  }
  const auto count = static_cast<std::int64_t>(ends.size());
  Backend& backend = values_.backend();
  segments_ = {from_host(backend, {count}, ends), from_host(backend, {count}, decay),
               from_host(backend, {count}, rate)};
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
    if (leaf.filled() || entry.parameter->frozen()) continue;
    Target target = leaf.gradient_target();
    target.dst.backend().fill(target.dst, 0);
  }
}

}  // namespace sagitta::nn
