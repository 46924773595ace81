// Batch norm with fused residual and ReLU, layer norm with fused residual.
#include "autograd/addition.h"
#include "autograd/checks.h"
#include "autograd/ops.h"
#include "autograd/recompute.h"

namespace sagitta::autograd {
namespace {

struct BatchNorm {
  BatchNormParams params;
  Tensor x, y, gamma, mean, rstd;  // y only with ReLU: it holds the mask
  void backward(const Tensor& dy, const Inputs& inputs) {
    dy.backend().batch_norm_add_relu_backward(params, x, y, gamma, mean, rstd, dy, inputs.target(0),
                                              inputs.target(1), inputs.target(2), inputs.target(3));
  }
};

struct LayerNorm {
  Tensor x, gamma, mean, rstd;
  void backward(const Tensor& dy, const Inputs& inputs) {
    dy.backend().layer_norm_backward(x, gamma, mean, rstd, dy, inputs.target(0), inputs.target(1),
                                     inputs.target(2));
  }
};

DType statistics_dtype(const Variable& x) { return accumulate_dtype(x.value().dtype()); }

void require_channels(const char* op, const Variable& x, const Variable& gamma, const Variable& beta) {
  const Shape expected{x.shape().back()};
  require_dtype(op, statistics_dtype(x), {&gamma, &beta});
  require(gamma.shape() == expected && beta.shape() == expected, "{}: gamma is {} and beta {}, expected {}",
          op, gamma.shape(), beta.shape(), expected);
}

}  // namespace

Variable batch_norm(const Variable& x, const Variable& gamma, const Variable& beta, const Variable& residual,
                    RunningStatistics& statistics, const BatchNormParams& params) {
  require_channels("batch_norm", x, gamma, beta);
  require(!residual || residual.shape() == x.shape(), "batch_norm: residual is {}, expected {}",
          residual.shape(), x.shape());
  require_dtype("batch_norm", x.value().dtype(), {&residual});
  require(!params.training || x.shape().rows() > 1,
          "batch_norm: one value per channel in {} has no variance, train with more images", x.shape());
  if (residual && residual.node() != nullptr && residual.node() == x.node()) {
    // One node cannot be two targets of one kernel: add and activate in steps of their own.
    BatchNormParams plain = params;
    plain.relu = false;
    const Variable sum = add(batch_norm(x, gamma, beta, {}, statistics, plain), residual);
    return params.relu ? relu(sum) : sum;
  }
  Tensor y = x.value().like();
  Tensor mean(y.backend(), {x.shape().back()}, statistics_dtype(x));
  Tensor rstd = mean.like();
  BatchNormParams effective = params;
  if (is_recomputing()) effective.momentum = 0;  // the first pass has already updated the running statistics
  y.backend().batch_norm_add_relu(effective, x.value(), gamma.value(), beta.value(), residual.value(),
                                  statistics.mean, statistics.var, y, mean, rstd);
  return record(y, {x, gamma, beta, residual},
                BatchNorm{params, x.value(), params.relu ? y : Tensor(), gamma.value(), mean, rstd});
}

Variable layer_norm(const Variable& x, const Variable& gamma, const Variable& beta, double eps) {
  require_channels("layer_norm", x, gamma, beta);
  Tensor y = x.value().like();
  Tensor mean(y.backend(), {x.shape().rows()}, statistics_dtype(x));
  Tensor rstd = mean.like();
  y.backend().layer_norm(eps, x.value(), gamma.value(), beta.value(), y, mean, rstd);
  return record(y, {x, gamma, beta}, LayerNorm{x.value(), gamma.value(), mean, rstd});
}

// Two outputs, two nodes: backward of the norm adds straight into the gradient of the sum, so the fusion
// costs nothing on the way back either.
std::pair<Variable, Variable> add_layer_norm(const Variable& x, const Variable& residual,
                                             const Variable& gamma, const Variable& beta, double eps) {
  require(x.shape() == residual.shape(), "add_layer_norm: x is {}, residual {}; expected equal shapes",
          x.shape(), residual.shape());
  require_dtype("add_layer_norm", x.value().dtype(), {&residual});
  require_channels("add_layer_norm", x, gamma, beta);
  Tensor total = x.value().like(), y = total.like();
  Tensor mean(y.backend(), {x.shape().rows()}, statistics_dtype(x));
  Tensor rstd = mean.like();
  y.backend().add_layer_norm(eps, x.value(), residual.value(), gamma.value(), beta.value(), total, y, mean,
                             rstd);
  Variable stream = record(total, {x, residual}, Addition{});
  return {stream, record(y, {stream, gamma, beta}, LayerNorm{total, gamma.value(), mean, rstd})};
}

}  // namespace sagitta::autograd
