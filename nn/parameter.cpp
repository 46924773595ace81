#include "nn/parameter.h"

#include "autograd/cast.h"
#include "nn/module.h"
#include "tensor/error.h"

namespace sagitta::nn {

bool is_norm(Role role) {
  return role == Role::batch_norm_weight || role == Role::batch_norm_bias ||
         role == Role::layer_norm_weight || role == Role::layer_norm_bias;
}

Parameter::Parameter(Module* owner, std::string name, const Context& context, const Shape& shape,
                     ParameterOptions options)
    : name_(std::move(name)),
      options_(std::move(options)),
      master_(autograd::leaf(Tensor(context.backend(), shape, accumulate_dtype(context.dtype())))) {
  if (is_half(context.dtype()) && !is_norm(options_.role))
    copy_ = Tensor(context.backend(), shape, context.dtype());
  owner->register_parameter(*this);
}

void Parameter::assign(const std::vector<double>& values) {
  Backend& backend = value().backend();
  const Tensor source = from_host(backend, shape(), values);
  Tensor destination = value();
  backend.convert(source, destination);
  refresh_copy();
}

autograd::Variable Parameter::variable() const {
  if (frozen_) return autograd::Variable(copy_ ? copy_ : value());
  return copy_ ? autograd::record(copy_, {master_}, autograd::Cast{}) : master_;
}

void Parameter::refresh_copy() {
  require(value().kept_forms() == nullptr,
          "parameter {}: was written to while a ConstantParameters held the model; let it go before", name_);
  if (copy_) value().backend().convert(value(), copy_);
}

void Parameter::adopt(Tensor value) {
  require(value.shape() == shape() && value.dtype() == master_.value().dtype(),
          "parameter {}: cannot take {} for {}", name_, value.shape(), shape());
  master_ = autograd::Variable(std::move(value), master_.node());
  refresh_copy();
}

void Parameter::rebind(Tensor value, Tensor gradient, Tensor copy) {
  require(value.shape() == shape() && gradient.shape() == shape() && (!copy_ || copy.shape() == shape()),
          "parameter {}: cannot move {} into {} and {}", name_, shape(), value.shape(), gradient.shape());
  value.backend().convert(master_.value(), value);
  leaf().bind(std::move(gradient));
  master_ = autograd::Variable(std::move(value), master_.node());
  if (!copy_) return;
  copy_ = std::move(copy);
  refresh_copy();
}

Buffer::Buffer(Module* owner, std::string name, const Context& context, const Shape& shape, DType dtype,
               double start)
    : name_(std::move(name)), value_(full(context.backend(), shape, dtype, start)), start_(start) {
  owner->register_buffer(*this);
}

}  // namespace sagitta::nn
