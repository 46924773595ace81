// Fused ops composed of primitives, the default capture, and the table of devices.
#include "tensor/backend.h"

#include <map>
#include <utility>

#include "tensor/error.h"

namespace sagitta {

void Backend::linear(const LinearParams& params, const Tensor& x, const Tensor& weight, const Tensor& bias,
                     Tensor& pre, Tensor& y) {
  Tensor product = pre ? pre : y;
  matmul({.transpose_b = true}, x, weight, {product});
  if (bias) add_bias(product, bias, product);
  if (params.activation != UnaryOp::identity)
    unary(params.activation, product, y);
  else if (pre)
    convert(pre, y);
}

void Backend::linear_backward(const LinearParams& params, const Tensor& x, const Tensor& weight,
                              const Tensor& saved, const Tensor& dy, const Target& dx, const Target& dweight,
                              const Target& dbias) {
  Tensor dpre = dy;
  if (params.activation != UnaryOp::identity) {
    dpre = dy.like();
    unary_backward(params.activation, saved, dy, {dpre});
  }
  if (dx) matmul({}, dpre, weight, dx);
  if (dweight) matmul({.transpose_a = true}, dpre, x, dweight);
  if (dbias) sum_rows(dpre, dbias);
}

void Backend::batch_norm_add_relu(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                                  const Tensor& beta, const Tensor& residual, Tensor& running_mean,
                                  Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd) {
  batch_norm(params, x, gamma, beta, running_mean, running_var, y, mean, rstd);
  if (residual) binary(BinaryOp::add, y, residual, y);
  if (params.relu) unary(UnaryOp::relu, y, y);
}

void Backend::batch_norm_add_relu_backward(const BatchNormParams& params, const Tensor& x, const Tensor& y,
                                           const Tensor& gamma, const Tensor& mean, const Tensor& rstd,
                                           const Tensor& dy, const Target& dx, const Target& dgamma,
                                           const Target& dbeta, const Target& dresidual) {
  Tensor dsum = dy;
  if (params.relu) {
    dsum = dy.like();
    unary_backward(UnaryOp::relu, y, dy, {dsum});
  }
  if (dresidual) scale(dsum, 1, dresidual);
  batch_norm_backward(params, x, gamma, mean, rstd, dsum, dx, dgamma, dbeta);
}

void Backend::conv2d_batch_norm(const ConvNormParams& params, const Tensor& x, const Tensor& weight,
                                const Tensor& gamma, const Tensor& beta, const Tensor& running_mean,
                                const Tensor& running_var, const Tensor& residual, Tensor& y) {
  Tensor product = y.like(), mean = gamma.like(), rstd = gamma.like();
  conv2d(params.conv, x, weight, product);
  Tensor same_mean = running_mean, same_var = running_var;  // not written in evaluation
  batch_norm_add_relu({.eps = params.eps, .training = false, .relu = params.relu}, product, gamma, beta,
                      residual, same_mean, same_var, y, mean, rstd);
}

void Backend::add_layer_norm(double eps, const Tensor& x, const Tensor& residual, const Tensor& gamma,
                             const Tensor& beta, Tensor& sum, Tensor& y, Tensor& mean, Tensor& rstd) {
  binary(BinaryOp::add, x, residual, sum);
  layer_norm(eps, sum, gamma, beta, y, mean, rstd);
}

namespace {

class RepeatedCall final : public Captured {
 public:
  explicit RepeatedCall(std::function<void()> work) : work_(std::move(work)) {}
  void replay() override { work_(); }

 private:
  std::function<void()> work_;
};

std::map<Device::Kind, std::function<Backend&(int)>>& backend_table() {
  static std::map<Device::Kind, std::function<Backend&(int)>> table{
      {Device::Kind::cpu, [](int) -> Backend& { return cpu_backend(); }}};
  return table;
}

}  // namespace

std::unique_ptr<Captured> Backend::capture(std::function<void()> work) {
  return std::make_unique<RepeatedCall>(std::move(work));
}

Backend& backend_for(const Device& device) {
  const auto entry = backend_table().find(device.kind);
  require(entry != backend_table().end(), "device {}: this build has no such backend, use the cpu",
          device.str());
  return entry->second(device.index);
}

void register_backend(Device::Kind kind, std::function<Backend&(int)> open) {
  backend_table()[kind] = std::move(open);
}

}  // namespace sagitta
