// Backend: the contract between the math of autograd/ and the kernels of a device, on one page.
// Rules that hold for every method:
//   - destination passing: outputs are allocated by the caller with the documented shape; every element is
//     written;
//   - asynchronous on the backend's one stream; no host value is returned except by read();
//   - inputs and outputs live on this backend and do not overlap, unless a method says it may work in place;
//   - gradients go to a Target {dst, accumulate}: an empty dst means "not wanted", accumulate means "add to
//     what is there", otherwise dst is overwritten without being read;
//   - shapes and dtypes are checked in autograd/; a backend may rely on them. dtype is dispatched inside the
//     backend;
//   - an op has one dtype, that of its data. Where that is 16 bits (bf16, f16; GPUs only), sums run in f32,
//     and these tensors are f32 as well (accumulate_dtype): gamma, beta, running_*, mean, rstd, lse and their
//     gradients. Losses and optimizers are f32 altogether; autograd::cast stands between.
// Primitive ops are pure virtual, so a missing kernel does not compile. Fused ops have a default that
// composes primitives (backend.cpp); a test holds every override against it.
#pragma once
#include <functional>
#include <memory>

#include "tensor/device.h"
#include "tensor/op_params.h"
#include "tensor/tensor.h"

namespace sagitta {

// Where a gradient (or any result that may be added up) goes.
struct Target {
  Tensor dst;
  bool accumulate = false;
  explicit operator bool() const { return static_cast<bool>(dst); }
};

// Bytes of device memory: in use by tensors now, at most so far, and held by the caching allocator.
struct MemoryUse {
  std::size_t in_use = 0;
  std::size_t peak = 0;
  std::size_t reserved = 0;
};

// A recorded sequence of backend calls. On a GPU a graph; on the CPU the function itself.
class Captured {
 public:
  virtual ~Captured() = default;
  virtual void replay() = 0;
};

// Consecutive element ranges of the flat parameter buffer with what their update is like: range i is
// [end[i-1], end[i]). One table per arena, on the device.
struct UpdateSegments {
  Tensor end;    // i64 [S], increasing; the last is the buffer's numel
  Tensor decay;  // f32 [S], weight decay
  Tensor rate;   // f32 [S], factor of the learning rate; 0: frozen, neither values nor moments change
};

// What an optimizer step works on: flat buffers of equal length n, and what is read from device memory so
// that a captured step can be replayed.
struct ParameterUpdate {
  UpdateSegments segments;
  Tensor state;       // a StepState
  Tensor norm2;       // [1] squared_norm(gradient); when it is not finite the whole update is skipped
  Tensor loss_scale;  // f32 [3] (kLossScale...), or empty. The gradient is divided by the scale
  Tensor gradient;    // [n]. Clipping multiplies it by min(1, max_norm / (norm + 1e-6))
  Tensor values;      // [n], updated
  Tensor copy;        // 16-bit [n], receives the rounded values (those of frozen segments are there already);
                      // may be empty
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual Device device() const = 0;

  // ---- memory
  virtual void* allocate(std::size_t bytes) = 0;  // aligned to 64 bytes; 0 bytes is allowed
  virtual void release(void* memory, std::size_t bytes) = 0;
  virtual MemoryUse memory_use() const = 0;
  virtual void write(const void* host, Tensor& y) = 0;   // host -> y; host may be reused on return
  virtual void read(const Tensor& x, void* host) = 0;    // x -> host; waits
  virtual void synchronize() = 0;                        // waits for everything enqueued
  virtual void fill(Tensor& y, double value) = 0;        // any dtype
  virtual void convert(const Tensor& x, Tensor& y) = 0;  // y = x, casting between dtypes; same dtype: a copy
  virtual void increment(Tensor& counter) = 0;           // i64: every element + 1
  // y = alpha * x (floating point; y may have another floating dtype than x).
  virtual void scale(const Tensor& x, double alpha, const Target& y) = 0;

  // ---- elementwise
  virtual void unary(UnaryOp op, const Tensor& x, Tensor& y) = 0;  // may work in place
  // dx = dy * op'(.); `saved` is what saves_of(op) names (empty for Saves::nothing). dx may be dy.
  virtual void unary_backward(UnaryOp op, const Tensor& saved, const Tensor& dy, const Target& dx) = 0;
  virtual void binary(BinaryOp op, const Tensor& a, const Tensor& b,
                      Tensor& y) = 0;  // equal shapes; may be in place
  // a and b are empty for Saves::nothing.
  virtual void binary_backward(BinaryOp op, const Tensor& a, const Tensor& b, const Tensor& dy,
                               const Target& da, const Target& db) = 0;
  // y = x * scalar[0]; scalar has the accumulate_dtype of x.
  virtual void scale_by(const Tensor& x, const Tensor& scalar, const Target& y) = 0;
  virtual void sum(const Tensor& x, Tensor& y) = 0;           // y [1] = sum of x, of x's dtype
  virtual void squared_norm(const Tensor& x, Tensor& y) = 0;  // y [1] = sum of x^2; f32 or f64

  // ---- matrix products
  // y [M,N] = op(a) op(b); a is [M,K] or, transposed, [K,M]; b is [K,N] or [N,K].
  virtual void matmul(const MatmulParams& params, const Tensor& a, const Tensor& b, const Target& y) = 0;
  virtual void add_bias(const Tensor& x, const Tensor& bias,
                        Tensor& y) = 0;                         // [..,N] + [N]; may work in place
  virtual void sum_rows(const Tensor& x, const Target& y) = 0;  // [..,N] -> [N]
  // Fused: y [M,N] = activation(x [M,K] weight [N,K]^T + bias [N]); bias may be empty. `pre` [M,N] receives
  // the value before the activation; it may be empty when the activation does not save its input.
  virtual void linear(const LinearParams& params, const Tensor& x, const Tensor& weight, const Tensor& bias,
                      Tensor& pre, Tensor& y);
  // `saved` is pre or y, whichever saves_of(activation) names.
  virtual void linear_backward(const LinearParams& params, const Tensor& x, const Tensor& weight,
                               const Tensor& saved, const Tensor& dy, const Target& dx, const Target& dweight,
                               const Target& dbias);

  // ---- convolution: x [N,H,W,I], weight [O,KH,KW,I], y [N,OH,OW,O]
  virtual void conv2d(const Conv2dParams& params, const Tensor& x, const Tensor& weight, Tensor& y) = 0;
  virtual void conv2d_backward_input(const Conv2dParams& params, const Tensor& weight, const Tensor& dy,
                                     const Target& dx) = 0;
  virtual void conv2d_backward_weight(const Conv2dParams& params, const Tensor& x, const Tensor& dy,
                                      const Target& dweight) = 0;

  // ---- normalization
  // Batch norm over all axes but the last (Ioffe and Szegedy, 2015). gamma, beta, running_*, mean, rstd are
  // [C]. Training: mean and rstd = 1/sqrt(biased variance + eps) of the batch are written, running statistics
  // updated (with the unbiased variance, as PyTorch does). Otherwise mean and rstd are those of the running
  // statistics.
  virtual void batch_norm(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                          const Tensor& beta, Tensor& running_mean, Tensor& running_var, Tensor& y,
                          Tensor& mean, Tensor& rstd) = 0;
  // params.training tells whether mean and rstd depend on x.
  virtual void batch_norm_backward(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                                   const Tensor& mean, const Tensor& rstd, const Tensor& dy, const Target& dx,
                                   const Target& dgamma, const Target& dbeta) = 0;
  // Fused: y = relu?(batch_norm(x) + residual?); residual may be empty, params.relu switches the ReLU.
  virtual void batch_norm_add_relu(const BatchNormParams& params, const Tensor& x, const Tensor& gamma,
                                   const Tensor& beta, const Tensor& residual, Tensor& running_mean,
                                   Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd);
  // y is the output (read only when params.relu: it holds the mask).
  virtual void batch_norm_add_relu_backward(const BatchNormParams& params, const Tensor& x, const Tensor& y,
                                            const Tensor& gamma, const Tensor& mean, const Tensor& rstd,
                                            const Tensor& dy, const Target& dx, const Target& dgamma,
                                            const Target& dbeta, const Target& dresidual);
  // Fused, for evaluation: y = relu?(batch_norm(conv2d(x, weight)) + residual?) with the running statistics;
  // residual may be empty.
  virtual void conv2d_batch_norm(const ConvNormParams& params, const Tensor& x, const Tensor& weight,
                                 const Tensor& gamma, const Tensor& beta, const Tensor& running_mean,
                                 const Tensor& running_var, const Tensor& residual, Tensor& y);
  // Layer norm over the last axis (Ba et al., 2016), biased variance. mean and rstd have one element per row.
  virtual void layer_norm(double eps, const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& y,
                          Tensor& mean, Tensor& rstd) = 0;
  virtual void layer_norm_backward(const Tensor& x, const Tensor& gamma, const Tensor& mean,
                                   const Tensor& rstd, const Tensor& dy, const Target& dx,
                                   const Target& dgamma, const Target& dbeta) = 0;
  // Fused: sum = x + residual; y = layer_norm(sum).
  virtual void add_layer_norm(double eps, const Tensor& x, const Tensor& residual, const Tensor& gamma,
                              const Tensor& beta, Tensor& sum, Tensor& y, Tensor& mean, Tensor& rstd);

  // ---- attention (Vaswani et al., 2017)
  // qkv [B,T,3,H,D] packed as
  // [B,T,3*H*D]; y [B,T,H*D] = dropout(softmax(scale q k^T)) v per head; lse [B,H,T] is the log-sum-exp of
  // the scaled scores, all that backward needs besides qkv and y. `state` (a StepState) may be empty when
  // params.dropout is 0. The mask of score (b,h,i,j) is element ((b*H + h)*T + i)*T + j of the stream.
  virtual void attention(const AttentionParams& params, const Tensor& state, const Tensor& qkv, Tensor& y,
                         Tensor& lse) = 0;
  virtual void attention_backward(const AttentionParams& params, const Tensor& state, const Tensor& qkv,
                                  const Tensor& y, const Tensor& lse, const Tensor& dy,
                                  const Target& dqkv) = 0;

  // ---- pooling
  // indices i32 like y: which pixel h*W+w of its image won; ties go to the first in row-major order, NaN
  // wins.
  virtual void max_pool(const PoolParams& params, const Tensor& x, Tensor& y, Tensor& indices) = 0;
  virtual void max_pool_backward(const PoolParams& params, const Tensor& indices, const Tensor& dy,
                                 const Target& dx) = 0;
  virtual void global_avg_pool(const Tensor& x, Tensor& y) = 0;  // [N,H,W,C] -> [N,C]
  virtual void global_avg_pool_backward(const Tensor& dy, const Target& dx) = 0;

  // ---- tokens
  // y [B,T+1,D]: row 0 is cls [D], then patches [B,T,D]; positions [T+1,D] are added to every image.
  virtual void prepend_token(const Tensor& patches, const Tensor& cls, const Tensor& positions,
                             Tensor& y) = 0;
  virtual void prepend_token_backward(const Tensor& dy, const Target& dpatches, const Target& dcls,
                                      const Target& dpositions) = 0;
  virtual void select_token(const Tensor& x, std::int64_t index, Tensor& y) = 0;  // [B,T,D] -> [B,D]
  virtual void select_token_backward(const Tensor& dy, std::int64_t index, const Target& dx) = 0;
  // Bicubic, a = -0.75, align_corners = false, no antialias: torch.nn.functional.interpolate on [H,W,C].
  virtual void resize_bicubic(const Tensor& x, Tensor& y) = 0;
  virtual void resize_bicubic_backward(const Tensor& dy, const Target& dx) = 0;

  // ---- dropout
  // Element i survives when random::uniform(mask_key(state, stream), i) >= p.
  virtual void dropout(const DropoutParams& params, const Tensor& state, const Tensor& x, Tensor& y) = 0;
  virtual void dropout_backward(const DropoutParams& params, const Tensor& state, const Tensor& dy,
                                const Target& dx) = 0;

  // ---- losses: the mean loss [1] and its gradient by the logits, in one sweep
  // logits [B,K], labels i64 [B].
  virtual void softmax_cross_entropy(const CrossEntropyParams& params, const Tensor& logits,
                                     const Tensor& labels, Tensor& loss, Tensor& dlogits) = 0;
  // logits, targets [B,K]; pos_weight [K] and weight [B,K] may be empty. Mean over B*K, as BCEWithLogitsLoss.
  virtual void bce_with_logits(const Tensor& logits, const Tensor& targets, const Tensor& pos_weight,
                               const Tensor& weight, Tensor& loss, Tensor& dlogits) = 0;

  // ---- input
  // y [N,H,W,C] = (pixels / 255 - mean[c]) / std[c] for the windows of pixels u8 [N,H',W',C] that `crop`
  // i32 [N,3] names: image n starts at row crop[n][0] and column crop[n][1] (what lies outside the picture is
  // 0 = air), and is mirrored left to right when crop[n][2] is not 0.
  virtual void normalize_image(const ImageParams& params, const Tensor& pixels, const Tensor& crop,
                               Tensor& y) = 0;

  // ---- optimizers: one call for the whole flat parameter buffer
  // Learning rate and step come from update.state; see ParameterUpdate. Moments [n] start as zeros; momentum
  // may be empty when params.momentum is 0.
  virtual void sgd(const SgdParams& params, const ParameterUpdate& update, Tensor& momentum) = 0;
  virtual void adam(const AdamParams& params, const ParameterUpdate& update, Tensor& first_moment,
                    Tensor& second_moment) = 0;
  // mean = decay * mean + (1 - decay) * x: one step of an exponential moving average; f32 or f64.
  virtual void update_average(double decay, const Tensor& x, Tensor& mean) = 0;
  // After an update: a finite norm2 counts a good step and multiplies the scale by params.growth after every
  // params.interval of them; another one multiplies it by params.backoff and counts a skipped step.
  virtual void update_loss_scale(const LossScaleParams& params, const Tensor& norm2, Tensor& loss_scale) = 0;

  // ---- capture
  // Nothing runs yet: every replay() does `work` exactly once, on the same memory. `work` must not read() and
  // must use fixed shapes and fixed tensors, since a GPU calls the function twice only: the first replay runs
  // it (and chooses algorithms), the second records it, and all later ones launch the record. The default
  // calls the function each time.
  virtual std::unique_ptr<Captured> capture(std::function<void()> work);
};

// The CPU backend: always there, f32 and f64.
Backend& cpu_backend();

// The backend of a device. Throws when no such device was registered, naming what is missing.
Backend& backend_for(const Device& device);
// Adds a device family; `open` returns the backend of one index. Called once by programs that link cuda/.
void register_backend(Device::Kind kind, std::function<Backend&(int index)> open);

}  // namespace sagitta
