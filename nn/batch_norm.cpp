#include "nn/batch_norm.h"

#include "autograd/inference.h"
#include "autograd/recompute.h"
#include "tensor/error.h"

namespace sagitta::nn {

BatchNorm::BatchNorm(Module* parent, std::string name, const Context& context, std::int64_t channels,
                     double eps, double momentum)
    : Module(parent, std::move(name)),
      weight(this, "weight", context, {channels},
             {.init = Init::constant(1), .role = Role::batch_norm_weight}),
      bias(this, "bias", context, {channels}, {.init = Init::constant(0), .role = Role::batch_norm_bias}),
      running_mean(this, "running_mean", context, {channels}, accumulate_dtype(context.dtype()), 0),
      running_var(this, "running_var", context, {channels}, accumulate_dtype(context.dtype()), 1),
      num_batches_tracked(this, "num_batches_tracked", context, {}, DType::i64, 0),
      eps_(eps),
      momentum_(momentum) {}

autograd::Variable BatchNorm::operator()(const autograd::Variable& x, const Fused& fused) {
  if (training() && !autograd::is_recomputing()) {
    Backend& backend = x.value().backend();
    backend.increment(num_batches_tracked.value());
  }
  autograd::RunningStatistics statistics{running_mean.value(), running_var.value()};
  return autograd::batch_norm(
      x, weight, bias, fused.residual, statistics,
      {.eps = eps_, .momentum = momentum_, .training = training(), .relu = fused.relu});
}

autograd::Variable BatchNorm::after(const Conv2d& convolution, const autograd::Variable& x,
                                    const Fused& fused) {
  require(!convolution.bias, "BatchNorm::after: a convolution with a bias has one too many; make it without");
  return autograd::conv2d_batch_norm(x, convolution.weight, weight, bias, fused.residual,
                                     {running_mean.value(), running_var.value()},
                                     {.conv = convolution.params(), .eps = eps_, .relu = fused.relu});
}

}  // namespace sagitta::nn
