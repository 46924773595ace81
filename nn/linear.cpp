#include "nn/linear.h"

namespace sagitta::nn {

Linear::Linear(Module* parent, std::string name, const Context& context, std::int64_t in, std::int64_t out,
               const LinearOptions& options)
    : Module(parent, std::move(name)),
      weight(this, "weight", context, {out, in},
             {.init = options.weight_init.value_or(Init::torch_default(in))}),
      params_{options.activation} {
  if (options.bias)
    bias.emplace(
        this, "bias", context, Shape{out},
        ParameterOptions{.init = options.bias_init.value_or(Init::torch_default(in)), .role = Role::bias});
}

autograd::Variable Linear::operator()(const autograd::Variable& x) const {
  return autograd::linear(x, weight, bias ? bias->variable() : autograd::Variable(), params_);
}

}  // namespace sagitta::nn
