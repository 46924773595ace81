// InterceptingBackend: every op of the contract, in one list, as a call of one function.
// For backends that treat all ops alike: forward them and watch (tensor/observed_backend.h), note them, or
// only look at shapes. An op that is treated differently is overridden again below. Memory, transfers and
// capture are not ops; they stay with the derived class.
//
// Derived has a function template
//   template <std::size_t N, class... Params>
//   void intercept(const char* op, const OperandName (&names)[N], void (Backend::*method)(Params...),
//                  std::type_identity_t<Params>... args);
// whose `names` are those of the tensors and targets among the arguments, in their order.
#pragma once
#include <type_traits>

#include "tensor/backend.h"

namespace sagitta {

// What the contract calls a tensor or target of an op. The op also reads what it writes to an updated one,
// whatever else it is given.
struct OperandName {
  constexpr OperandName(const char* text, bool updated = false) : text(text), updated(updated) {}
  const char* text;
  bool updated;
};
constexpr OperandName updated(const char* text) { return {text, true}; }

template <class Derived>
class InterceptingBackend : public Backend {
 public:
  // ---- memory
  void fill(Tensor& y, double value) override { self().intercept("fill", {"y"}, &Backend::fill, y, value); }
  void convert(const Tensor& x, Tensor& y) override {
    self().intercept("convert", {"x", "y"}, &Backend::convert, x, y);
  }
  void increment(Tensor& counter) override {
    self().intercept("increment", {updated("counter")}, &Backend::increment, counter);
  }
  void scale(const Tensor& x, double alpha, const Target& y) override {
    self().intercept("scale", {"x", "y"}, &Backend::scale, x, alpha, y);
  }

  // ---- elementwise
  void unary(UnaryOp op, const Tensor& x, Tensor& y) override {
    self().intercept("unary", {"x", "y"}, &Backend::unary, op, x, y);
  }
  void unary_backward(UnaryOp op, const Tensor& saved, const Tensor& dy, const Target& dx) override {
    self().intercept("unary_backward", {"saved", "dy", "dx"}, &Backend::unary_backward, op, saved, dy, dx);
  }
  void binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& y) override {
    self().intercept("binary", {"a", "b", "y"}, &Backend::binary, op, a, b, y);
  }
  void binary_backward(BinaryOp op, const Tensor& a, const Tensor& b, const Tensor& dy, const Target& da,
                       const Target& db) override {
    self().intercept("binary_backward", {"a", "b", "dy", "da", "db"}, &Backend::binary_backward, op, a, b, dy,
                     da, db);
  }
  void scale_by(const Tensor& x, const Tensor& scalar, const Target& y) override {
    self().intercept("scale_by", {"x", "scalar", "y"}, &Backend::scale_by, x, scalar, y);
  }
  void sum(const Tensor& x, Tensor& y) override { self().intercept("sum", {"x", "y"}, &Backend::sum, x, y); }
  void squared_norm(const Tensor& x, Tensor& y) override {
    self().intercept("squared_norm", {"x", "y"}, &Backend::squared_norm, x, y);
  }

  // ---- matrix products
  void matmul(const MatmulParams& params, const Tensor& a, const Tensor& b, const Target& y) override {
    self().intercept("matmul", {"a", "b", "y"}, &Backend::matmul, params, a, b, y);
  }
  void add_bias(const Tensor& x, const Tensor& bias, Tensor& y) override {
    self().intercept("add_bias", {"x", "bias", "y"}, &Backend::add_bias, x, bias, y);
  }
  void sum_rows(const Tensor& x, const Target& y) override {
    self().intercept("sum_rows", {"x", "y"}, &Backend::sum_rows, x, y);
  }
  void linear(const LinearParams& params, const Tensor& x, const Tensor& weight, const Tensor& bias,
              Tensor& pre, Tensor& y) override {
    self().intercept("linear", {"x", "weight", "bias", "pre", "y"}, &Backend::linear, params, x, weight, bias,
                     pre, y);
  }
  void linear_backward(const LinearParams& params, const Tensor& x, const Tensor& weight, const Tensor& saved,
                       const Tensor& dy, const Target& dx, const Target& dweight,
                       const Target& dbias) override {
    self().intercept("linear_backward", {"x", "weight", "saved", "dy", "dx", "dweight", "dbias"},
                     &Backend::linear_backward, params, x, weight, saved, dy, dx, dweight, dbias);
  }

  // ---- convolution
  void conv2d(const Conv2dParams& params, const Tensor& x, const Tensor& weight, Tensor& y) override {
    self().intercept("conv2d", {"x", "weight", "y"}, &Backend::conv2d, params, x, weight, y);
  }
  void conv2d_backward_input(const Conv2dParams& params, const Tensor& weight, const Tensor& dy,
                             const Target& dx) override {
    self().intercept("conv2d_backward_input", {"weight", "dy", "dx"}, &Backend::conv2d_backward_input, params,
                     weight, dy, dx);
  }
  void conv2d_backward_weight(const Conv2dParams& params, const Tensor& x, const Tensor& dy,
                              const Target& dweight) override {
    self().intercept("conv2d_backward_weight", {"x", "dy", "dweight"}, &Backend::conv2d_backward_weight,
                     params, x, dy, dweight);
  }

  // ---- normalization
  void batch_norm(const BatchNormParams& params, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                  Tensor& running_mean, Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd) override {
    self().intercept(
        "batch_norm",
        {"x", "gamma", "beta", updated("running_mean"), updated("running_var"), "y", "mean", "rstd"},
        &Backend::batch_norm, params, x, gamma, beta, running_mean, running_var, y, mean, rstd);
  }
  void batch_norm_backward(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                           const Tensor& mean, const Tensor& rstd, const Tensor& dy, const Target& dx,
                           const Target& dgamma, const Target& dbeta) override {
    self().intercept("batch_norm_backward", {"x", "gamma", "mean", "rstd", "dy", "dx", "dgamma", "dbeta"},
                     &Backend::batch_norm_backward, params, x, gamma, mean, rstd, dy, dx, dgamma, dbeta);
  }
  void batch_norm_add_relu(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                           const Tensor& beta, const Tensor& residual, Tensor& running_mean,
                           Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd) override {
    self().intercept("batch_norm_add_relu",
                     {"x", "gamma", "beta", "residual", updated("running_mean"), updated("running_var"), "y",
                      "mean", "rstd"},
                     &Backend::batch_norm_add_relu, params, x, gamma, beta, residual, running_mean,
                     running_var, y, mean, rstd);
  }
  void batch_norm_add_relu_backward(const BatchNormParams& params, const Tensor& x, const Tensor& y,
                                    const Tensor& gamma, const Tensor& mean, const Tensor& rstd,
                                    const Tensor& dy, const Target& dx, const Target& dgamma,
                                    const Target& dbeta, const Target& dresidual) override {
    self().intercept("batch_norm_add_relu_backward",
                     {"x", "y", "gamma", "mean", "rstd", "dy", "dx", "dgamma", "dbeta", "dresidual"},
                     &Backend::batch_norm_add_relu_backward, params, x, y, gamma, mean, rstd, dy, dx, dgamma,
                     dbeta, dresidual);
  }
  void conv2d_batch_norm(const ConvNormParams& params, const Tensor& x, const Tensor& weight,
                         const Tensor& gamma, const Tensor& beta, const Tensor& running_mean,
                         const Tensor& running_var, const Tensor& residual, Tensor& y) override {
    self().intercept(
        "conv2d_batch_norm", {"x", "weight", "gamma", "beta", "running_mean", "running_var", "residual", "y"},
        &Backend::conv2d_batch_norm, params, x, weight, gamma, beta, running_mean, running_var, residual, y);
  }
  void layer_norm(double eps, const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& y,
                  Tensor& mean, Tensor& rstd) override {
    self().intercept("layer_norm", {"x", "gamma", "beta", "y", "mean", "rstd"}, &Backend::layer_norm, eps, x,
                     gamma, beta, y, mean, rstd);
  }
  void layer_norm_backward(const Tensor& x, const Tensor& gamma, const Tensor& mean, const Tensor& rstd,
                           const Tensor& dy, const Target& dx, const Target& dgamma,
                           const Target& dbeta) override {
    self().intercept("layer_norm_backward", {"x", "gamma", "mean", "rstd", "dy", "dx", "dgamma", "dbeta"},
                     &Backend::layer_norm_backward, x, gamma, mean, rstd, dy, dx, dgamma, dbeta);
  }
  void add_layer_norm(double eps, const Tensor& x, const Tensor& residual, const Tensor& gamma,
                      const Tensor& beta, Tensor& sum, Tensor& y, Tensor& mean, Tensor& rstd) override {
    self().intercept("add_layer_norm", {"x", "residual", "gamma", "beta", "sum", "y", "mean", "rstd"},
                     &Backend::add_layer_norm, eps, x, residual, gamma, beta, sum, y, mean, rstd);
  }

  // ---- attention
  void attention(const AttentionParams& params, const Tensor& state, const Tensor& qkv, Tensor& y,
                 Tensor& lse) override {
    self().intercept("attention", {"state", "qkv", "y", "lse"}, &Backend::attention, params, state, qkv, y,
                     lse);
  }
  void attention_backward(const AttentionParams& params, const Tensor& state, const Tensor& qkv,
                          const Tensor& y, const Tensor& lse, const Tensor& dy, const Target& dqkv) override {
    self().intercept("attention_backward", {"state", "qkv", "y", "lse", "dy", "dqkv"},
                     &Backend::attention_backward, params, state, qkv, y, lse, dy, dqkv);
  }

  // ---- pooling
  void max_pool(const PoolParams& params, const Tensor& x, Tensor& y, Tensor& indices) override {
    self().intercept("max_pool", {"x", "y", "indices"}, &Backend::max_pool, params, x, y, indices);
  }
  void max_pool_backward(const PoolParams& params, const Tensor& indices, const Tensor& dy,
                         const Target& dx) override {
    self().intercept("max_pool_backward", {"indices", "dy", "dx"}, &Backend::max_pool_backward, params,
                     indices, dy, dx);
  }
  void global_avg_pool(const Tensor& x, Tensor& y) override {
    self().intercept("global_avg_pool", {"x", "y"}, &Backend::global_avg_pool, x, y);
  }
  void global_avg_pool_backward(const Tensor& dy, const Target& dx) override {
    self().intercept("global_avg_pool_backward", {"dy", "dx"}, &Backend::global_avg_pool_backward, dy, dx);
  }

  // ---- tokens
  void prepend_token(const Tensor& patches, const Tensor& cls, const Tensor& positions, Tensor& y) override {
    self().intercept("prepend_token", {"patches", "cls", "positions", "y"}, &Backend::prepend_token, patches,
                     cls, positions, y);
  }
  void prepend_token_backward(const Tensor& dy, const Target& dpatches, const Target& dcls,
                              const Target& dpositions) override {
    self().intercept("prepend_token_backward", {"dy", "dpatches", "dcls", "dpositions"},
                     &Backend::prepend_token_backward, dy, dpatches, dcls, dpositions);
  }
  void select_token(const Tensor& x, std::int64_t index, Tensor& y) override {
    self().intercept("select_token", {"x", "y"}, &Backend::select_token, x, index, y);
  }
  void select_token_backward(const Tensor& dy, std::int64_t index, const Target& dx) override {
    self().intercept("select_token_backward", {"dy", "dx"}, &Backend::select_token_backward, dy, index, dx);
  }
  void resize_bicubic(const Tensor& x, Tensor& y) override {
    self().intercept("resize_bicubic", {"x", "y"}, &Backend::resize_bicubic, x, y);
  }
  void resize_bicubic_backward(const Tensor& dy, const Target& dx) override {
    self().intercept("resize_bicubic_backward", {"dy", "dx"}, &Backend::resize_bicubic_backward, dy, dx);
  }

  // ---- dropout
  void dropout(const DropoutParams& params, const Tensor& state, const Tensor& x, Tensor& y) override {
    self().intercept("dropout", {"state", "x", "y"}, &Backend::dropout, params, state, x, y);
  }
  void dropout_backward(const DropoutParams& params, const Tensor& state, const Tensor& dy,
                        const Target& dx) override {
    self().intercept("dropout_backward", {"state", "dy", "dx"}, &Backend::dropout_backward, params, state, dy,
                     dx);
  }

  // ---- losses
  void softmax_cross_entropy(const CrossEntropyParams& params, const Tensor& logits, const Tensor& labels,
                             Tensor& loss, Tensor& dlogits) override {
    self().intercept("softmax_cross_entropy", {"logits", "labels", "loss", "dlogits"},
                     &Backend::softmax_cross_entropy, params, logits, labels, loss, dlogits);
  }
  void bce_with_logits(const Tensor& logits, const Tensor& targets, const Tensor& pos_weight,
                       const Tensor& weight, Tensor& loss, Tensor& dlogits) override {
    self().intercept("bce_with_logits", {"logits", "targets", "pos_weight", "weight", "loss", "dlogits"},
                     &Backend::bce_with_logits, logits, targets, pos_weight, weight, loss, dlogits);
  }

  // ---- input
  void normalize_image(const ImageParams& params, const Tensor& pixels, const Tensor& crop,
                       Tensor& y) override {
    self().intercept("normalize_image", {"pixels", "crop", "y"}, &Backend::normalize_image, params, pixels,
                     crop, y);
  }

  // ---- optimizers; a ParameterUpdate brings the names of its members
  void sgd(const SgdParams& params, const ParameterUpdate& update, Tensor& momentum) override {
    self().intercept("sgd", {updated("momentum")}, &Backend::sgd, params, update, momentum);
  }
  void adam(const AdamParams& params, const ParameterUpdate& update, Tensor& first_moment,
            Tensor& second_moment) override {
    self().intercept("adam", {updated("first_moment"), updated("second_moment")}, &Backend::adam, params,
                     update, first_moment, second_moment);
  }
  void update_average(double decay, const Tensor& x, Tensor& mean) override {
    self().intercept("update_average", {"x", updated("mean")}, &Backend::update_average, decay, x, mean);
  }
  void update_loss_scale(const LossScaleParams& params, const Tensor& norm2, Tensor& loss_scale) override {
    self().intercept("update_loss_scale", {"norm2", updated("loss_scale")}, &Backend::update_loss_scale,
                     params, norm2, loss_scale);
  }

 private:
  Derived& self() { return static_cast<Derived&>(*this); }
};

}  // namespace sagitta
