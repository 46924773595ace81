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
#include "tensor/intercepting_backend.h"

namespace sagitta::bench {

class RecordingBackend final : public InterceptingBackend<RecordingBackend> {
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

  // Composed, as on a GPU, which is what the notes are replayed on.
  void conv2d_batch_norm(const ConvNormParams& params, const Tensor& x, const Tensor& weight,
                         const Tensor& gamma, const Tensor& beta, const Tensor& running_mean,
                         const Tensor& running_var, const Tensor& residual, Tensor& y) override;

  // The ops whose work their arguments do not tell.
  void increment(Tensor& counter) override;
  void matmul(const MatmulParams& params, const Tensor& a, const Tensor& b, const Target& y) override;
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
  void batch_norm_add_relu_backward(const BatchNormParams& params, const Tensor& x, const Tensor& y,
                                    const Tensor& gamma, const Tensor& mean, const Tensor& rstd,
                                    const Tensor& dy, const Target& dx, const Target& dgamma,
                                    const Target& dbeta, const Target& dresidual) override;
  void attention(const AttentionParams& params, const Tensor& state, const Tensor& qkv, Tensor& y,
                 Tensor& lse) override;
  void attention_backward(const AttentionParams& params, const Tensor& state, const Tensor& qkv,
                          const Tensor& y, const Tensor& lse, const Tensor& dy, const Target& dqkv) override;
  void select_token(const Tensor& x, std::int64_t index, Tensor& y) override;
  void sgd(const SgdParams& params, const ParameterUpdate& update, Tensor& momentum) override;
  void adam(const AdamParams& params, const ParameterUpdate& update, Tensor& first_moment,
            Tensor& second_moment) override;

 private:
  friend class InterceptingBackend<RecordingBackend>;
  // All other ops.
  template <std::size_t N, class... Params>
  void intercept(const char* op, const OperandName (&names)[N], void (Backend::*method)(Params...),
                 std::type_identity_t<Params>... args);
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

template <class... Params, class... Args>
void RecordingBackend::note(const std::string& op, const Work& work, void (Backend::*method)(Params...),
                            const Args&... args) {
  const auto notes = std::make_tuple(note_of(args)...);
  RecordedCall call{.op = op, .flop = work.flop, .bytes = work.more_bytes};
  CallText text;
  text.key = op;
  std::apply([&](const auto&... each) { ((call.bytes += bytes_of(each), text.add(each)), ...); }, notes);
  call.detail = text.shown();
  call.prepare = [notes, method](const TensorMaker& maker) -> std::function<void()> {
    auto made = std::apply(
        [&](const auto&... each) { return std::tuple<std::decay_t<Params>...>(maker.make(each)...); }, notes);
    return [made, method, &backend = maker.backend()]() mutable {
      std::apply([&](auto&... each) { (backend.*method)(each...); }, made);
    };
  };
  add(std::move(call), text.key);
}

template <std::size_t N, class... Params>
void RecordingBackend::intercept(const char* op, const OperandName (&)[N], void (Backend::*method)(Params...),
                                 std::type_identity_t<Params>... args) {
  note(op, {}, method, args...);
}

}  // namespace sagitta::bench
