// RecordingBackend: runs a training step without computing anything, and notes every call.
// The ops of a step with their shapes come from the model itself this way, not from a list that somebody
// keeps up to date. Its memory is never touched but for small tensors that the host writes.
#pragma once
#include <map>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include "bench/recorded_call.h"

namespace sagitta::bench {

class RecordingBackend final : public Backend {
 public:
  // Forgets what was noted so far.
  void start();
  // Distinct calls since start(), in order of first appearance.
  const std::vector<RecordedCall>& calls() const { return calls_; }

  Device device() const override { return {}; }
  void* allocate(std::size_t bytes) override;
  void release(void* memory, std::size_t bytes) override;
  MemoryUse memory_use() const override { return {}; }
  void write(const void* host, Tensor& y) override;
  void read(const Tensor& x, void* host) override;
  void synchronize() override {}

  void fill(Tensor& y, double value) override;
  void convert(const Tensor& x, Tensor& y) override;
  void increment(Tensor& counter) override;
  void scale(const Tensor& x, double alpha, const Target& y) override;
  void unary(UnaryOp op, const Tensor& x, Tensor& y) override;
  void unary_backward(UnaryOp op, const Tensor& saved, const Tensor& dy, const Target& dx) override;
  void binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& y) override;
  void binary_backward(BinaryOp op, const Tensor& a, const Tensor& b, const Tensor& dy, const Target& da,
                       const Target& db) override;
  void scale_by(const Tensor& x, const Tensor& scalar, const Target& y) override;
  void sum(const Tensor& x, Tensor& y) override;
  void squared_norm(const Tensor& x, Tensor& y) override;

  void matmul(const MatmulParams& params, const Tensor& a, const Tensor& b, const Target& y) override;
  void add_bias(const Tensor& x, const Tensor& bias, Tensor& y) override;
  void sum_rows(const Tensor& x, const Target& y) override;
  void linear(const LinearParams& params, const Tensor& x, const Tensor& weight, const Tensor& bias,
              Tensor& pre, Tensor& y) override;
  void linear_backward(const LinearParams& params, const Tensor& x, const Tensor& weight, const Tensor& saved,
                       const Tensor& dy, const Target& dx, const Target& dweight,
                       const Target& dbias) override;

  void conv2d(const Conv2dParams& params, const Tensor& x, const Tensor& weight, Tensor& y) override;
  void conv2d_backward_input(const Conv2dParams& params, const Tensor& weight, const Tensor& dy,
                             const Target& dx) override;
  void conv2d_backward_weight(const Conv2dParams& params, const Tensor& x, const Tensor& dy,
                              const Target& dweight) override;

  void batch_norm(const BatchNormParams& params, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                  Tensor& running_mean, Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd) override;
  void batch_norm_backward(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                           const Tensor& mean, const Tensor& rstd, const Tensor& dy, const Target& dx,
                           const Target& dgamma, const Target& dbeta) override;
  void batch_norm_add_relu(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                           const Tensor& beta, const Tensor& residual, Tensor& running_mean,
                           Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd) override;
  void batch_norm_add_relu_backward(const BatchNormParams& params, const Tensor& x, const Tensor& y,
                                    const Tensor& gamma, const Tensor& mean, const Tensor& rstd,
                                    const Tensor& dy, const Target& dx, const Target& dgamma,
                                    const Target& dbeta, const Target& dresidual) override;
  void layer_norm(double eps, const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& y,
                  Tensor& mean, Tensor& rstd) override;
  void layer_norm_backward(const Tensor& x, const Tensor& gamma, const Tensor& mean, const Tensor& rstd,
                           const Tensor& dy, const Target& dx, const Target& dgamma,
                           const Target& dbeta) override;
  void add_layer_norm(double eps, const Tensor& x, const Tensor& residual, const Tensor& gamma,
                      const Tensor& beta, Tensor& sum, Tensor& y, Tensor& mean, Tensor& rstd) override;

  void attention(const AttentionParams& params, const Tensor& state, const Tensor& qkv, Tensor& y,
                 Tensor& lse) override;
  void attention_backward(const AttentionParams& params, const Tensor& state, const Tensor& qkv,
                          const Tensor& y, const Tensor& lse, const Tensor& dy, const Target& dqkv) override;

  void max_pool(const PoolParams& params, const Tensor& x, Tensor& y, Tensor& indices) override;
  void max_pool_backward(const PoolParams& params, const Tensor& indices, const Tensor& dy,
                         const Target& dx) override;
  void global_avg_pool(const Tensor& x, Tensor& y) override;
  void global_avg_pool_backward(const Tensor& dy, const Target& dx) override;

  void prepend_token(const Tensor& patches, const Tensor& cls, const Tensor& positions, Tensor& y) override;
  void prepend_token_backward(const Tensor& dy, const Target& dpatches, const Target& dcls,
                              const Target& dpositions) override;
  void select_token(const Tensor& x, std::int64_t index, Tensor& y) override;
  void select_token_backward(const Tensor& dy, std::int64_t index, const Target& dx) override;
  void resize_bicubic(const Tensor& x, Tensor& y) override;
  void resize_bicubic_backward(const Tensor& dy, const Target& dx) override;

  void dropout(const DropoutParams& params, const Tensor& state, const Tensor& x, Tensor& y) override;
  void dropout_backward(const DropoutParams& params, const Tensor& state, const Tensor& dy,
                        const Target& dx) override;
  void softmax_cross_entropy(const CrossEntropyParams& params, const Tensor& logits, const Tensor& labels,
                             Tensor& loss, Tensor& dlogits) override;
  void bce_with_logits(const Tensor& logits, const Tensor& targets, const Tensor& pos_weight,
                       const Tensor& weight, Tensor& loss, Tensor& dlogits) override;
  void normalize_image(const ImageParams& params, const Tensor& pixels, const Tensor& crop,
                       Tensor& y) override;

  void sgd(const SgdParams& params, const ParameterUpdate& update, Tensor& momentum) override;
  void adam(const AdamParams& params, const ParameterUpdate& update, Tensor& first_moment,
            Tensor& second_moment) override;
  void update_average(double decay, const Tensor& x, Tensor& mean) override;
  void update_loss_scale(const LossScaleParams& params, const Tensor& norm2, Tensor& loss_scale) override;

 private:
  // What the arguments do not tell by themselves.
  struct Work {
    double flop = 0;
    double more_bytes = 0;  // than touching each argument once
  };
  // The arguments are those of `method`, in its order.
  template <class... Params, class... Args>
  void note(const std::string& op, const Work& work, void (Backend::*method)(Params...), const Args&... args);
  void add(RecordedCall call, const std::string& key);

  std::vector<RecordedCall> calls_;
  std::map<std::string, std::size_t> index_;  // by key
};

}  // namespace sagitta::bench
