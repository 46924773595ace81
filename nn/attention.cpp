#include "nn/attention.h"

#include <cmath>

#include "tensor/error.h"

namespace sagitta::nn {
namespace {

std::vector<FileSlice> thirds(const std::string& suffix, std::int64_t width) {
  return {{"query." + suffix, 0, width},
          {"key." + suffix, width, 2 * width},
          {"value." + suffix, 2 * width, 3 * width}};
}

}  // namespace

SelfAttention::SelfAttention(Module* parent, std::string name, Context& context, std::int64_t width,
                             const AttentionOptions& options)
    : Module(parent, std::move(name)),
      weight(this, "qkv.weight", context, {3 * width, width},
             {.init = options.weight_init, .slices = thirds("weight", width)}),
      params_{.heads = options.heads,
              .scale = 1 / std::sqrt(static_cast<double>(width) / options.heads),
              .dropout = options.dropout,
              .stream = context.new_stream()},
      state_(context.step_state()) {
  require(options.heads >= 1 && width % options.heads == 0,
          "attention: width {} is not a multiple of {} heads", width, options.heads);
  if (options.qkv_bias)
    bias.emplace(
        this, "qkv.bias", context, Shape{3 * width},
        ParameterOptions{.init = Init::constant(0), .role = Role::bias, .slices = thirds("bias", width)});
}

autograd::Variable SelfAttention::operator()(const autograd::Variable& x, AttentionTrace* trace) const {
  const autograd::Variable qkv = autograd::linear(x, weight, bias ? bias->variable() : autograd::Variable());
  AttentionParams params = params_;
  if (!training()) params.dropout = 0;
  const autograd::Variable y = autograd::attention(qkv, params, state_);
  if (!trace) return y;
  *trace = {.params = params, .qkv = qkv.value(), .dy = {}};
  return autograd::retain_gradient(y, trace->dy);
}

}  // namespace sagitta::nn
