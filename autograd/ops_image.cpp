// Ops on images [N,H,W,C]: convolution and pooling.
#include "autograd/checks.h"
#include "autograd/inference.h"
#include "autograd/ops.h"

namespace sagitta::autograd {
namespace {

struct Conv2d {
  Conv2dParams params;
  Tensor x, weight;
  void backward(const Tensor& dy, const Inputs& inputs) {
    Backend& backend = dy.backend();
    if (const Target dx = inputs.target(0)) backend.conv2d_backward_input(params, weight, dy, dx);
    if (const Target dweight = inputs.target(1)) backend.conv2d_backward_weight(params, x, dy, dweight);
    if (const Target dbias = inputs.target(2)) backend.sum_rows(dy, dbias);
  }
};

struct MaxPool {
  PoolParams params;
  Tensor indices;
  void backward(const Tensor& dy, const Inputs& inputs) {
    dy.backend().max_pool_backward(params, indices, dy, inputs.target(0));
  }
};

struct GlobalAvgPool {
  void backward(const Tensor& dy, const Inputs& inputs) {
    dy.backend().global_avg_pool_backward(dy, inputs.target(0));
  }
};

void require_image(const char* op, const Variable& x) {
  require(x.shape().rank() == 4, "{}: x is {}, expected [N,H,W,C]", op, x.shape());
}

// The output of a convolution, not yet written, after checking what it is made from.
Tensor conv2d_output(const Variable& x, const Variable& weight, const Conv2dParams& params) {
  require_image("conv2d", x);
  const Shape& w = weight.shape();
  require(w.rank() == 4 && w[3] == x.shape()[3], "conv2d: weight is {}, expected [O,KH,KW,{}]", w.str(),
          x.shape()[3]);
  require(params.stride >= 1 && params.padding >= 0,
          "conv2d: stride is {} and padding {}, expected >= 1 and >= 0", params.stride, params.padding);
  require(x.shape()[1] + 2 * params.padding >= w[1] && x.shape()[2] + 2 * params.padding >= w[2],
          "conv2d: image {} with padding {} is smaller than the kernel {}", x.shape(), params.padding,
          w.str());
  return Tensor(x.value().backend(),
                {x.shape()[0], params.out(x.shape()[1], w[1]), params.out(x.shape()[2], w[2]), w[0]},
                x.value().dtype());
}

}  // namespace

Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias, const Conv2dParams& params) {
  Tensor y = conv2d_output(x, weight, params);
  const Shape channels{weight.shape()[0]};
  require(!bias || bias.shape() == channels, "conv2d: bias is {}, expected {}", bias.shape(), channels);
  require_dtype("conv2d", x.value().dtype(), {&weight, &bias});
  y.backend().conv2d(params, x.value(), weight.value(), y);
  if (bias) y.backend().add_bias(y, bias.value(), y);
  return record(y, {x, weight, bias}, Conv2d{params, x.value(), weight.value()});
}

Variable conv2d_batch_norm(const Variable& x, const Variable& weight, const Variable& gamma,
                           const Variable& beta, const Variable& residual,
                           const RunningStatistics& statistics, const ConvNormParams& params) {
  require(!gradients_enabled(),
          "conv2d_batch_norm: has no gradient; call conv2d and batch_norm, or hold a NoGradient");
  Tensor y = conv2d_output(x, weight, params.conv);
  const Shape channels{weight.shape()[0]};
  require(gamma.shape() == channels && beta.shape() == channels,
          "conv2d_batch_norm: gamma is {} and beta {}, expected {}", gamma.shape(), beta.shape(), channels);
  require_dtype("conv2d_batch_norm", x.value().dtype(), {&weight, &residual});
  require_dtype("conv2d_batch_norm", accumulate_dtype(x.value().dtype()), {&gamma, &beta});
  require(!residual || residual.shape() == y.shape(), "conv2d_batch_norm: residual is {}, expected {}",
          residual.shape(), y.shape());
  y.backend().conv2d_batch_norm(params, x.value(), weight.value(), gamma.value(), beta.value(),
                                statistics.mean, statistics.var, residual.value(), y);
  return Variable(y);
}

Variable max_pool(const Variable& x, const PoolParams& params) {
  require_image("max_pool", x);
  require(
      params.kernel >= 1 && params.stride >= 1 && params.padding >= 0 && 2 * params.padding <= params.kernel,
      "max_pool: kernel {}, stride {}, padding {}; expected kernel, stride >= 1 and padding at most half the "
      "kernel",
      params.kernel, params.stride, params.padding);
  require(x.shape()[1] + 2 * params.padding >= params.kernel &&
              x.shape()[2] + 2 * params.padding >= params.kernel,
          "max_pool: image {} with padding {} is smaller than the kernel {}", x.shape(), params.padding,
          params.kernel);
  const Shape shape{x.shape()[0], params.out(x.shape()[1]), params.out(x.shape()[2]), x.shape()[3]};
  Tensor y(x.value().backend(), shape, x.value().dtype());
  Tensor indices(y.backend(), shape, DType::i32);
  y.backend().max_pool(params, x.value(), y, indices);
  return record(y, {x}, MaxPool{params, std::move(indices)});
}

Variable global_avg_pool(const Variable& x) {
  require_image("global_avg_pool", x);
  Tensor y(x.value().backend(), {x.shape()[0], x.shape()[3]}, x.value().dtype());
  y.backend().global_avg_pool(x.value(), y);
  return record(y, {x}, GlobalAvgPool{});
}

}  // namespace sagitta::autograd
