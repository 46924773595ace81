#include "cuda/dnn_problem.h"

#include <fmt/format.h>

namespace sagitta::cuda {
namespace {

// cuDNN counts the axes as N,C,H,W; the strides say that channels come last in memory.
Graph::Layout channels_last(const Shape& shape, DType dtype) {
  const std::int64_t n = shape[0], h = shape[1], w = shape[2], c = shape[3];
  return {{n, c, h, w}, {h * w * c, 1, w * c, c}, data_type_of(dtype)};
}

std::string_view name_of(ConvolutionProblem::Pass pass) {
  switch (pass) {
    case ConvolutionProblem::Pass::forward: return "convolution";
    case ConvolutionProblem::Pass::backward_input: return "convolution_backward_input";
    case ConvolutionProblem::Pass::backward_weight: return "convolution_backward_weight";
  }
  return {};
}

}  // namespace

Shape ConvolutionProblem::y() const {
  return {x[0], params.out(x[1], weight[1]), params.out(x[2], weight[2]), weight[0]};
}

std::string ConvolutionProblem::key() const {
  return fmt::format("{} {} x {} weight {} stride {} padding {}", name_of(pass), sagitta::name_of(dtype), x,
                     weight, params.stride, params.padding);
}

void ConvolutionProblem::build(Graph& graph) const {
  const Graph::Value image = graph.tensor(kX, channels_last(x, dtype));
  const Graph::Value kernel = graph.tensor(kWeight, channels_last(weight, dtype));
  const Graph::Value output = graph.tensor(kY, channels_last(y(), dtype));
  switch (pass) {
    case Pass::forward: return graph.convolution(params, image, kernel, output);
    case Pass::backward_input: return graph.convolution_backward_input(params, kernel, output, image);
    case Pass::backward_weight: return graph.convolution_backward_weight(params, image, output, kernel);
  }
}

std::string AttentionProblem::key() const {
  return fmt::format("{} {} batch {} tokens {} heads {} head_dim {}",
                     backward ? "attention_backward" : "attention", sagitta::name_of(dtype), batch, tokens,
                     heads, head_dim);
}

void AttentionProblem::build(Graph& graph) const { backward ? build_backward(graph) : build_forward(graph); }

Graph::Layout AttentionProblem::packed() const {
  const std::int64_t row = 3 * heads * head_dim;
  return {{batch, heads, tokens, head_dim}, {tokens * row, head_dim, row, 1}, data_type_of(dtype)};
}
Graph::Layout AttentionProblem::separate() const {
  const std::int64_t row = heads * head_dim;
  return {{batch, heads, tokens, head_dim}, {tokens * row, head_dim, row, 1}, data_type_of(dtype)};
}
Graph::Layout AttentionProblem::per_row() const {
  return {{batch, heads, tokens, 1}, {heads * tokens, tokens, 1, 1}, CUDNN_DATA_FLOAT};
}
Graph::Layout AttentionProblem::scores(bool on_tensor_cores) const {
  return {{batch, heads, tokens, tokens},
          {heads * tokens * tokens, tokens * tokens, tokens, 1},
          on_tensor_cores ? data_type_of(dtype) : CUDNN_DATA_FLOAT};
}

void AttentionProblem::build_forward(Graph& graph) const {
  graph.attention(graph.tensor(kQ, packed()), graph.tensor(kK, packed()), graph.tensor(kV, packed()),
                  graph.scalar(kScale, 4), graph.tensor(kO, separate()), graph.tensor(kLse, per_row()));
}

// The chain of operations that cuDNN recognizes as one flash attention backward kernel. With P = softmax
// weights, D_i = sum_d dO_id O_id:  dV = P^T dO,  dS = scale P (dO V^T - D),  dK = dS^T Q,  dQ = dS K.
void AttentionProblem::build_backward(Graph& graph) const {
  const Graph::Layout f32_scores = scores(false);
  Graph::Layout f32_rows = separate();
  f32_rows.type = CUDNN_DATA_FLOAT;
  const Graph::Value scale = graph.scalar(kScale, 4);
  const Graph::Value q = graph.tensor(kQ, packed()), k_transposed = graph.tensor(kK, packed().transposed());
  const Graph::Value v_transposed = graph.tensor(kV, packed().transposed());
  const Graph::Value out = graph.tensor(kO, separate()), dout = graph.tensor(kDo, separate());

  // D. The product with one is where the pattern allows a result in memory, and for the scale of a dropout.
  const Graph::Value product = graph.intermediate(f32_rows), sum = graph.intermediate(per_row());
  const Graph::Value row_sum = graph.tensor(kRowSum, per_row());
  graph.pointwise(CUDNN_POINTWISE_MUL, dout, out, product);
  graph.reduce_sum(product, sum);
  graph.pointwise(CUDNN_POINTWISE_MUL, sum, graph.scalar(kOne, 4), row_sum);

  // P = exp(scale Q K^T - lse)
  const Graph::Value score = graph.intermediate(f32_scores), scaled = graph.intermediate(f32_scores);
  const Graph::Value shifted = graph.intermediate(f32_scores), weight = graph.intermediate(f32_scores);
  graph.matmul(q, k_transposed, score);
  graph.pointwise(CUDNN_POINTWISE_MUL, score, scale, scaled);
  graph.pointwise(CUDNN_POINTWISE_SUB, scaled, graph.tensor(kLse, per_row()), shifted);
  graph.pointwise(CUDNN_POINTWISE_EXP, shifted, weight);

  const Graph::Value weight_transposed = graph.intermediate(scores(true).transposed());
  graph.reshape(weight, weight_transposed);
  graph.matmul(weight_transposed, dout, graph.tensor(kDv, packed()));

  const Graph::Value dweight = graph.intermediate(f32_scores), centered = graph.intermediate(f32_scores);
  const Graph::Value dscaled = graph.intermediate(f32_scores), dscore = graph.intermediate(f32_scores);
  graph.matmul(dout, v_transposed, dweight);
  graph.pointwise(CUDNN_POINTWISE_SUB, dweight, row_sum, centered);
  graph.pointwise(CUDNN_POINTWISE_MUL, centered, weight, dscaled);
  graph.pointwise(CUDNN_POINTWISE_MUL, dscaled, scale, dscore);

  const Graph::Value dscore_transposed = graph.intermediate(scores(true).transposed());
  graph.reshape(dscore, dscore_transposed);
  graph.matmul(dscore_transposed, q, graph.tensor(kDk, packed()));

  const Graph::Value k = graph.intermediate(packed());
  graph.reshape(k_transposed, k);
  const Graph::Value dq = graph.tensor(kDq, packed());
  if (deterministic) return graph.matmul(dscore, k, dq);
  // A result in f32 memory between the product and its rounding tells cuDNN to add up there.
  const Graph::Value dq_sum =
      graph.tensor(kDqSum, {{batch, heads, tokens, head_dim},
                            {heads * tokens * head_dim, tokens * head_dim, head_dim, 1},
                            CUDNN_DATA_FLOAT});
  graph.matmul(dscore, k, dq_sum);
  graph.pointwise(CUDNN_POINTWISE_IDENTITY, dq_sum, dq);
}

}  // namespace sagitta::cuda
