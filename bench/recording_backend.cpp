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

void RecordingBackend::add(RecordedCall call, const std::string& key) {
  const auto [place, is_new] = index_.try_emplace(key, calls_.size());
  if (is_new)
    calls_.push_back(std::move(call));
  else
    ++calls_[place->second].times;
}

void RecordingBackend::fill(Tensor& y, double value) { note("fill", {}, &Backend::fill, y, value); }
void RecordingBackend::convert(const Tensor& x, Tensor& y) { note("convert", {}, &Backend::convert, x, y); }
void RecordingBackend::increment(Tensor& counter) {
  note("increment", {.more_bytes = bytes(counter)}, &Backend::increment, counter);
}
void RecordingBackend::scale(const Tensor& x, double alpha, const Target& y) {
  note("scale", {}, &Backend::scale, x, alpha, y);
}
void RecordingBackend::unary(UnaryOp op, const Tensor& x, Tensor& y) {
  note("unary", {}, &Backend::unary, op, x, y);
}
void RecordingBackend::unary_backward(UnaryOp op, const Tensor& saved, const Tensor& dy, const Target& dx) {
  note("unary_backward", {}, &Backend::unary_backward, op, saved, dy, dx);
}
void RecordingBackend::binary(BinaryOp op, const Tensor& a, const Tensor& b, Tensor& y) {
  note("binary", {}, &Backend::binary, op, a, b, y);
}
void RecordingBackend::binary_backward(BinaryOp op, const Tensor& a, const Tensor& b, const Tensor& dy,
                                       const Target& da, const Target& db) {
  note("binary_backward", {}, &Backend::binary_backward, op, a, b, dy, da, db);
}
void RecordingBackend::scale_by(const Tensor& x, const Tensor& scalar, const Target& y) {
  note("scale_by", {}, &Backend::scale_by, x, scalar, y);
}
void RecordingBackend::sum(const Tensor& x, Tensor& y) { note("sum", {}, &Backend::sum, x, y); }
void RecordingBackend::squared_norm(const Tensor& x, Tensor& y) {
  note("squared_norm", {}, &Backend::squared_norm, x, y);
}

void RecordingBackend::matmul(const MatmulParams& params, const Tensor& a, const Tensor& b, const Target& y) {
  const double inner = static_cast<double>(a.shape()[params.transpose_a ? 0 : 1]);
  note("matmul", {.flop = 2 * inner * count(y.dst)}, &Backend::matmul, params, a, b, y);
}
void RecordingBackend::add_bias(const Tensor& x, const Tensor& bias, Tensor& y) {
  note("add_bias", {}, &Backend::add_bias, x, bias, y);
}
void RecordingBackend::sum_rows(const Tensor& x, const Target& y) {
  note("sum_rows", {}, &Backend::sum_rows, x, y);
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

void RecordingBackend::batch_norm(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                                  const Tensor& beta, Tensor& running_mean, Tensor& running_var, Tensor& y,
                                  Tensor& mean, Tensor& rstd) {
  note("batch_norm", {}, &Backend::batch_norm, params, x, gamma, beta, running_mean, running_var, y, mean,
       rstd);
}
void RecordingBackend::batch_norm_backward(const BatchNormParams& params, const Tensor& x,
                                           const Tensor& gamma, const Tensor& mean, const Tensor& rstd,
                                           const Tensor& dy, const Target& dx, const Target& dgamma,
                                           const Target& dbeta) {
  note("batch_norm_backward", {}, &Backend::batch_norm_backward, params, x, gamma, mean, rstd, dy, dx, dgamma,
       dbeta);
}
void RecordingBackend::batch_norm_add_relu(const BatchNormParams& params, const Tensor& x,
                                           const Tensor& gamma, const Tensor& beta, const Tensor& residual,
                                           Tensor& running_mean, Tensor& running_var, Tensor& y, Tensor& mean,
                                           Tensor& rstd) {
  note("batch_norm_add_relu", {}, &Backend::batch_norm_add_relu, params, x, gamma, beta, residual,
       running_mean, running_var, y, mean, rstd);
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
void RecordingBackend::layer_norm(double eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                  Tensor& y, Tensor& mean, Tensor& rstd) {
  note("layer_norm", {}, &Backend::layer_norm, eps, x, gamma, beta, y, mean, rstd);
}
void RecordingBackend::layer_norm_backward(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                                           const Tensor& rstd, const Tensor& dy, const Target& dx,
                                           const Target& dgamma, const Target& dbeta) {
  note("layer_norm_backward", {}, &Backend::layer_norm_backward, x, gamma, mean, rstd, dy, dx, dgamma, dbeta);
}
void RecordingBackend::add_layer_norm(double eps, const Tensor& x, const Tensor& residual,
                                      const Tensor& gamma, const Tensor& beta, Tensor& sum, Tensor& y,
                                      Tensor& mean, Tensor& rstd) {
  note("add_layer_norm", {}, &Backend::add_layer_norm, eps, x, residual, gamma, beta, sum, y, mean, rstd);
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

void RecordingBackend::max_pool(const PoolParams& params, const Tensor& x, Tensor& y, Tensor& indices) {
  note("max_pool", {}, &Backend::max_pool, params, x, y, indices);
}
void RecordingBackend::max_pool_backward(const PoolParams& params, const Tensor& indices, const Tensor& dy,
                                         const Target& dx) {
  note("max_pool_backward", {}, &Backend::max_pool_backward, params, indices, dy, dx);
}
void RecordingBackend::global_avg_pool(const Tensor& x, Tensor& y) {
  note("global_avg_pool", {}, &Backend::global_avg_pool, x, y);
}
void RecordingBackend::global_avg_pool_backward(const Tensor& dy, const Target& dx) {
  note("global_avg_pool_backward", {}, &Backend::global_avg_pool_backward, dy, dx);
}

void RecordingBackend::prepend_token(const Tensor& patches, const Tensor& cls, const Tensor& positions,
                                     Tensor& y) {
  note("prepend_token", {}, &Backend::prepend_token, patches, cls, positions, y);
}
void RecordingBackend::prepend_token_backward(const Tensor& dy, const Target& dpatches, const Target& dcls,
                                              const Target& dpositions) {
  note("prepend_token_backward", {}, &Backend::prepend_token_backward, dy, dpatches, dcls, dpositions);
}
void RecordingBackend::select_token(const Tensor& x, std::int64_t index, Tensor& y) {
  // One row of x in every image.
  note("select_token", {.more_bytes = bytes(y) - bytes(x)}, &Backend::select_token, x, index, y);
}
void RecordingBackend::select_token_backward(const Tensor& dy, std::int64_t index, const Target& dx) {
  note("select_token_backward", {}, &Backend::select_token_backward, dy, index, dx);
}
void RecordingBackend::resize_bicubic(const Tensor& x, Tensor& y) {
  note("resize_bicubic", {}, &Backend::resize_bicubic, x, y);
}
void RecordingBackend::resize_bicubic_backward(const Tensor& dy, const Target& dx) {
  note("resize_bicubic_backward", {}, &Backend::resize_bicubic_backward, dy, dx);
}

void RecordingBackend::dropout(const DropoutParams& params, const Tensor& state, const Tensor& x, Tensor& y) {
  note("dropout", {}, &Backend::dropout, params, state, x, y);
}
void RecordingBackend::dropout_backward(const DropoutParams& params, const Tensor& state, const Tensor& dy,
                                        const Target& dx) {
  note("dropout_backward", {}, &Backend::dropout_backward, params, state, dy, dx);
}
void RecordingBackend::softmax_cross_entropy(const CrossEntropyParams& params, const Tensor& logits,
                                             const Tensor& labels, Tensor& loss, Tensor& dlogits) {
  note("softmax_cross_entropy", {}, &Backend::softmax_cross_entropy, params, logits, labels, loss, dlogits);
}
void RecordingBackend::bce_with_logits(const Tensor& logits, const Tensor& targets, const Tensor& pos_weight,
                                       const Tensor& weight, Tensor& loss, Tensor& dlogits) {
  note("bce_with_logits", {}, &Backend::bce_with_logits, logits, targets, pos_weight, weight, loss, dlogits);
}
void RecordingBackend::normalize_image(const ImageParams& params, const Tensor& pixels, const Tensor& crop,
                                       Tensor& y) {
  note("normalize_image", {}, &Backend::normalize_image, params, pixels, crop, y);
}

void RecordingBackend::sgd(const SgdParams& params, const ParameterUpdate& update, Tensor& momentum) {
  note("sgd", {.more_bytes = bytes(momentum)}, &Backend::sgd, params, update, momentum);
}
void RecordingBackend::adam(const AdamParams& params, const ParameterUpdate& update, Tensor& first_moment,
                            Tensor& second_moment) {
  note("adam", {.more_bytes = bytes(first_moment) + bytes(second_moment)}, &Backend::adam, params, update,
       first_moment, second_moment);
}
void RecordingBackend::update_average(double decay, const Tensor& x, Tensor& mean) {
  note("update_average", {.more_bytes = bytes(mean)}, &Backend::update_average, decay, x, mean);
}
void RecordingBackend::update_loss_scale(const LossScaleParams& params, const Tensor& norm2,
                                         Tensor& loss_scale) {
  note("update_loss_scale", {}, &Backend::update_loss_scale, params, norm2, loss_scale);
}

}  // namespace sagitta::bench
