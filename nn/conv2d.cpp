#include "nn/conv2d.h"

namespace sagitta::nn {

Conv2d::Conv2d(Module* parent, std::string name, const Context& context, std::int64_t in, std::int64_t out,
               const Conv2dOptions& options)
    : Module(parent, std::move(name)),
      weight(this, "weight", context, {out, options.kernel, options.kernel, in},
             {.init = options.weight_init.value_or(Init::torch_default(in * options.kernel * options.kernel)),
              .layout = FileLayout::oihw}),
      params_{.stride = options.stride, .padding = options.padding} {
  const Init bias_init =
      options.bias_init.value_or(Init::torch_default(in * options.kernel * options.kernel));
  if (options.bias)
    bias.emplace(this, "bias", context, Shape{out}, ParameterOptions{.init = bias_init, .role = Role::bias});
}

autograd::Variable Conv2d::operator()(const autograd::Variable& x) const {
  return autograd::conv2d(x, weight, bias ? bias->variable() : autograd::Variable(), params_);
}

}  // namespace sagitta::nn
