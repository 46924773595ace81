#include "cuda/dnn.h"

#include <cudnn.h>

#include "cuda/dnn_problem.h"
#include "cuda/dnn_runner.h"

namespace sagitta::cuda {
namespace {

// Up to 9.15.0 the backward kernels of cuDNN write past the end when the tokens are no multiple of 128.
constexpr std::size_t kOldestForAttention = 91501;

AttentionProblem attention_problem(const AttentionParams& params, const Tensor& qkv) {
  const Shape& shape = qkv.shape();
  return {.dtype = qkv.dtype(),
          .batch = shape[0],
          .tokens = shape[1],
          .heads = params.heads,
          .head_dim = shape[2] / (3 * params.heads)};
}

}  // namespace

class Dnn::Impl {
 public:
  Impl(cudaStream_t stream, const DnnOptions& options) : options_(options), runner_(stream, options) {}

  void convolve(ConvolutionProblem::Pass pass, const Conv2dParams& params, const Tensor& x,
                const Tensor& weight, const Tensor& y) {
    using Pass = ConvolutionProblem::Pass;
    const ConvolutionProblem problem{
        .pass = pass, .params = params, .dtype = x.dtype(), .x = x.shape(), .weight = weight.shape()};
    runner_.run(problem, rules(x.dtype()),
                {.operands = {{problem.kX, x, 0, pass == Pass::backward_input},
                              {problem.kWeight, weight, 0, pass == Pass::backward_weight},
                              {problem.kY, y, 0, pass == Pass::forward}},
                 .scalars = {}});
  }

  void attend(const AttentionProblem& problem, const DnnCall& call) {
    runner_.run(problem, rules(problem.dtype), call);
  }

  bool deterministic() const { return options_.deterministic; }

 private:
  EngineRules rules(DType dtype) const {
    return {.tensor_cores = dtype != DType::f32 || options_.tf32, .deterministic = options_.deterministic};
  }

  DnnOptions options_;
  DnnRunner runner_;
};

Dnn::Dnn(cudaStream_t stream, const DnnOptions& options) : impl_(std::make_unique<Impl>(stream, options)) {}
Dnn::~Dnn() = default;

void Dnn::convolution(const Conv2dParams& params, const Tensor& x, const Tensor& weight, Tensor& y) {
  impl_->convolve(ConvolutionProblem::Pass::forward, params, x, weight, y);
}
void Dnn::convolution_backward_input(const Conv2dParams& params, const Tensor& weight, const Tensor& dy,
                                     Tensor& dx) {
  impl_->convolve(ConvolutionProblem::Pass::backward_input, params, dx, weight, dy);
}
void Dnn::convolution_backward_weight(const Conv2dParams& params, const Tensor& x, const Tensor& dy,
                                      Tensor& dweight) {
  impl_->convolve(ConvolutionProblem::Pass::backward_weight, params, x, dweight, dy);
}

bool Dnn::supports_attention(const AttentionParams& params, const Tensor& qkv) const {
  return dnn_has_attention(params, qkv) && cudnnGetVersion() >= kOldestForAttention;
}

void Dnn::attention(const AttentionParams& params, const Tensor& qkv, Tensor& y, Tensor& lse) {
  const AttentionProblem problem = attention_problem(params, qkv);
  const std::int64_t width = problem.heads * problem.head_dim;  // from q to k to v within a row of qkv
  impl_->attend(problem, {.operands = {{problem.kQ, qkv},
                                       {problem.kK, qkv, width},
                                       {problem.kV, qkv, 2 * width},
                                       {problem.kO, y, 0, true},
                                       {problem.kLse, lse, 0, true}},
                          .scalars = {{problem.kScale, static_cast<float>(params.scale)}}});
}

void Dnn::attention_backward(const AttentionParams& params, const Tensor& qkv, const Tensor& y,
                             const Tensor& lse, const Tensor& dy, Tensor& dqkv) {
  AttentionProblem problem = attention_problem(params, qkv);
  problem.backward = true;
  problem.deterministic = impl_->deterministic();
  const std::int64_t width = problem.heads * problem.head_dim;
  DnnCall call{.operands = {{problem.kQ, qkv},
                            {problem.kK, qkv, width},
                            {problem.kV, qkv, 2 * width},
                            {problem.kO, y},
                            {problem.kLse, lse},
                            {problem.kDo, dy},
                            {problem.kDq, dqkv, 0, true},
                            {problem.kDk, dqkv, width, true},
                            {problem.kDv, dqkv, 2 * width, true},
                            {problem.kRowSum, lse.like(), 0, true}},
               .scalars = {{problem.kScale, static_cast<float>(params.scale)}, {problem.kOne, 1.0F}}};
  if (!problem.deterministic)
    call.operands.push_back({problem.kDqSum, Tensor(qkv.backend(), y.shape(), DType::f32), 0, true});
  impl_->attend(problem, call);
}

}  // namespace sagitta::cuda
