// The emulated answer to cuda/dnn.h: the CPU backend computes in f32, and each result is rounded once. What
// the real one demands of its arguments is demanded here too.
#include "cuda/dnn.h"

#include "cuda/alignment.h"
#include "cuda/emulator/cpu_copy.h"
#include "cuda/emulator/recording.h"
#include "tensor/error.h"

namespace sagitta::cuda {

class Dnn::Impl {
 public:
  explicit Impl(cudaStream_t stream) : stream_(stream) {}

  // Computes result = op(f32 copies of inputs) when the stream comes to it; op(result, input...) writes
  // result.
  template <class Op, class... Inputs>
  void enqueue(const Tensor& result, const Op& op, const Inputs&... inputs) {
    require(aligned(result, inputs...), "cudnn: memory is not aligned to {} bytes", kAlignment);
    emulator::enqueue(stream_, [op, to = DeviceMemory(result), ... from = DeviceMemory(inputs)] {
      Tensor computed(cpu_backend(), to.shape, DType::f32);
      op(computed, to_cpu(from)...);
      from_cpu(computed, to);
    });
  }

 private:
  cudaStream_t stream_;
};

Dnn::Dnn(cudaStream_t stream, const DnnOptions&) : impl_(std::make_unique<Impl>(stream)) {}
Dnn::~Dnn() = default;

void Dnn::convolution(const Conv2dParams& params, const Tensor& x, const Tensor& weight, Tensor& y) {
  impl_->enqueue(
      y, [params](Tensor& to, const Tensor& a, const Tensor& w) { cpu_backend().conv2d(params, a, w, to); },
      x, weight);
}

void Dnn::convolution_backward_input(const Conv2dParams& params, const Tensor& weight, const Tensor& dy,
                                     Tensor& dx) {
  impl_->enqueue(
      dx,
      [params](Tensor& to, const Tensor& w, const Tensor& d) {
        cpu_backend().conv2d_backward_input(params, w, d, {to});
      },
      weight, dy);
}

void Dnn::convolution_backward_weight(const Conv2dParams& params, const Tensor& x, const Tensor& dy,
                                      Tensor& dweight) {
  impl_->enqueue(
      dweight,
      [params](Tensor& to, const Tensor& a, const Tensor& d) {
        cpu_backend().conv2d_backward_weight(params, a, d, {to});
      },
      x, dy);
}

bool Dnn::supports_attention(const AttentionParams& params, const Tensor& qkv) const {
  return dnn_has_attention(params, qkv);
}

void Dnn::attention(const AttentionParams& params, const Tensor& qkv, Tensor& y, Tensor& lse) {
  require(dnn_has_attention(params, qkv), "cudnn: no attention kernel for qkv {} {}", name_of(qkv.dtype()),
          qkv.shape());
  // Two results, each from a run of its own: what this costs does not matter here.
  const auto run = [params](const Tensor& from, Tensor& output, Tensor& log_sums) {
    cpu_backend().attention(params, Tensor(), from, output, log_sums);
  };
  const Shape rows = lse.shape(), merged = y.shape();
  impl_->enqueue(
      y,
      [run, rows](Tensor& to, const Tensor& from) {
        Tensor unused(cpu_backend(), rows, DType::f32);
        run(from, to, unused);
      },
      qkv);
  impl_->enqueue(
      lse,
      [run, merged](Tensor& to, const Tensor& from) {
        Tensor unused(cpu_backend(), merged, DType::f32);
        run(from, unused, to);
      },
      qkv);
}

void Dnn::attention_backward(const AttentionParams& params, const Tensor& qkv, const Tensor& y,
                             const Tensor& lse, const Tensor& dy, Tensor& dqkv) {
  impl_->enqueue(
      dqkv,
      [params](Tensor& to, const Tensor& from, const Tensor& output, const Tensor& log_sums,
               const Tensor& d) {
        cpu_backend().attention_backward(params, Tensor(), from, output, log_sums, d, {to});
      },
      qkv, y, lse, dy);
}

}  // namespace sagitta::cuda
