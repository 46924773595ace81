#include "nn/parameter.h"

#include "nn/module.h"
#include "tensor/error.h"

namespace sagitta::nn {

Parameter::Parameter(Module* owner, std::string name, const Context& context, const Shape& shape,
                     ParameterOptions options)
    : name_(std::move(name)),
      options_(std::move(options)),
      variable_(autograd::leaf(zeros(context.backend(), shape, context.dtype()))) {
  owner->register_parameter(*this);
}

void Parameter::assign(const std::vector<double>& values) {
  Backend& backend = value().backend();
  const Tensor source = from_host(backend, shape(), values);
  Tensor destination = value();
  backend.convert(source, destination);
}

void Parameter::rebind(Tensor value, Tensor gradient) {
  require(value.shape() == shape() && gradient.shape() == shape(),
          "parameter {}: cannot move {} into {} and {}", name_, shape(), value.shape(), gradient.shape());
  value.backend().convert(variable_.value(), value);
  leaf().bind(std::move(gradient));
  variable_ = autograd::Variable(std::move(value), variable_.node());
}

Buffer::Buffer(Module* owner, std::string name, const Context& context, const Shape& shape, DType dtype,
               double start)
    : name_(std::move(name)), value_(full(context.backend(), shape, dtype, start)), start_(start) {
  owner->register_buffer(*this);
}

}  // namespace sagitta::nn
