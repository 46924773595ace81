#include "bench/recording_backend.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace sagitta::bench {
namespace {

double bytes(const Tensor& tensor) { return tensor ? static_cast<double>(tensor.bytes()) : 0; }
double count(const Tensor& tensor) { return static_cast<double>(tensor.numel()); }

// Of a convolution, seen from any of its three sides: y [N,OH,OW,O], weight [O,KH,KW,I].
double flop(const Tensor& y, const Tensor& weight) {
  return 2 * count(y) * count(weight) / static_cast<double>(weight.shape()[0]);
}

// A kernel smaller than its stride steps over part of x.
double skipped_bytes(const Conv2dParams& params, const Tensor& x, const Tensor& weight) {
  const double kept = std::min(1.0, static_cast<double>(weight.shape()[1]) / params.stride);
  return -bytes(x) * (1 - kept * kept);
}

}  // namespace

void RecordingBackend::start() {
  calls_.clear();
  index_.clear();
}

void* RecordingBackend::allocate(std::size_t size) {
  constexpr std::size_t kZeroed = 1 << 20;  // what lies above is not touched, so no pages are behind it
  void* memory = ::operator new (size, std::align_val_t{64});
  if (size <= kZeroed) std::memset(memory, 0, size);
  return memory;
}
void RecordingBackend::release(void* memory, std::size_t) {
  ::operator delete (memory, std::align_val_t{64});
}
void RecordingBackend::write(const void* host, Tensor& y) { std::memcpy(y.raw(), host, y.bytes()); }
void RecordingBackend::read(const Tensor& x, void* host) { std::memcpy(host, x.raw(), x.bytes()); }

void RecordingBackend::add(RecordedCall call, const std::string& key) {
  const auto [place, is_new] = index_.try_emplace(key, calls_.size());
  if (is_new)
    calls_.push_back(std::move(call));
  else
    ++calls_[place->second].times;
}

void RecordingBackend::conv2d_batch_norm(const ConvNormParams& params, const Tensor& x, const Tensor& weight,
                                         const Tensor& gamma, const Tensor& beta, const Tensor& running_mean,
                                         const Tensor& running_var, const Tensor& residual, Tensor& y) {
  Backend::conv2d_batch_norm(params, x, weight, gamma, beta, running_mean, running_var, residual, y);
}

void RecordingBackend::increment(Tensor& counter) {
  note("increment", {.more_bytes = bytes(counter)}, &Backend::increment, counter);
}

void RecordingBackend::matmul(const MatmulParams& params, const Tensor& a, const Tensor& b, const Target& y) {
  const double inner = static_cast<double>(a.shape()[params.transpose_a ? 0 : 1]);
  note("matmul", {.flop = 2 * inner * count(y.dst)}, &Backend::matmul, params, a, b, y);
}
void RecordingBackend::linear(const LinearParams& params, const Tensor& x, const Tensor& weight,
                              const Tensor& bias, Tensor& pre, Tensor& y) {
  note("linear", {.flop = 2 * count(y) * static_cast<double>(x.shape().back())}, &Backend::linear, params, x,
       weight, bias, pre, y);
}
void RecordingBackend::linear_backward(const LinearParams& params, const Tensor& x, const Tensor& weight,
                                       const Tensor& saved, const Tensor& dy, const Target& dx,
                                       const Target& dweight, const Target& dbias) {
  const double products = (dx ? 1 : 0) + (dweight ? 1 : 0);
  note("linear_backward", {.flop = products * 2 * count(dy) * static_cast<double>(x.shape().back())},
       &Backend::linear_backward, params, x, weight, saved, dy, dx, dweight, dbias);
}

void RecordingBackend::conv2d(const Conv2dParams& params, const Tensor& x, const Tensor& weight, Tensor& y) {
  note("conv2d", {.flop = flop(y, weight), .more_bytes = skipped_bytes(params, x, weight)}, &Backend::conv2d,
       params, x, weight, y);
}
void RecordingBackend::conv2d_backward_input(const Conv2dParams& params, const Tensor& weight,
                                             const Tensor& dy, const Target& dx) {
  note("conv2d_backward_input", {.flop = flop(dy, weight)}, &Backend::conv2d_backward_input, params, weight,
       dy, dx);
}
void RecordingBackend::conv2d_backward_weight(const Conv2dParams& params, const Tensor& x, const Tensor& dy,
                                              const Target& dweight) {
  note("conv2d_backward_weight",
       {.flop = flop(dy, dweight.dst), .more_bytes = skipped_bytes(params, x, dweight.dst)},
       &Backend::conv2d_backward_weight, params, x, dy, dweight);
}

void RecordingBackend::batch_norm_add_relu_backward(const BatchNormParams& params, const Tensor& x,
                                                    const Tensor& y, const Tensor& gamma, const Tensor& mean,
                                                    const Tensor& rstd, const Tensor& dy, const Target& dx,
                                                    const Target& dgamma, const Target& dbeta,
                                                    const Target& dresidual) {
  // y is the mask of the ReLU and nothing else.
  note("batch_norm_add_relu_backward", {.more_bytes = params.relu ? 0 : -bytes(y)},
       &Backend::batch_norm_add_relu_backward, params, x, y, gamma, mean, rstd, dy, dx, dgamma, dbeta,
       dresidual);
}

void RecordingBackend::attention(const AttentionParams& params, const Tensor& state, const Tensor& qkv,
                                 Tensor& y, Tensor& lse) {
  constexpr double kProducts = 2;  // q k^T and the one with v
  note("attention", {.flop = kProducts * 2 * count(y) * static_cast<double>(y.shape()[1])},
       &Backend::attention, params, state, qkv, y, lse);
}
void RecordingBackend::attention_backward(const AttentionParams& params, const Tensor& state,
                                          const Tensor& qkv, const Tensor& y, const Tensor& lse,
                                          const Tensor& dy, const Target& dqkv) {
  constexpr double kProducts = 5;  // the scores again, then dv, dp, dq, dk
  note("attention_backward", {.flop = kProducts * 2 * count(y) * static_cast<double>(y.shape()[1])},
       &Backend::attention_backward, params, state, qkv, y, lse, dy, dqkv);
}

void RecordingBackend::select_token(const Tensor& x, std::int64_t index, Tensor& y) {
  // One row of x in every image.
  note("select_token", {.more_bytes = bytes(y) - bytes(x)}, &Backend::select_token, x, index, y);
}

void RecordingBackend::sgd(const SgdParams& params, const ParameterUpdate& update, Tensor& momentum) {
  note("sgd", {.more_bytes = bytes(momentum)}, &Backend::sgd, params, update, momentum);
}
void RecordingBackend::adam(const AdamParams& params, const ParameterUpdate& update, Tensor& first_moment,
                            Tensor& second_moment) {
  note("adam", {.more_bytes = bytes(first_moment) + bytes(second_moment)}, &Backend::adam, params, update,
       first_moment, second_moment);
}

}  // namespace sagitta::bench
