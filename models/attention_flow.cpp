#include "models/attention_flow.h"

#include <algorithm>
#include <cmath>

#include "models/heat_map.h"
#include "tensor/backend.h"
#include "tensor/error.h"

namespace sagitta::models {
namespace {

// One layer of one batch on the host.
struct Layer {
  std::int64_t pictures, tokens, heads, width;  // width: of one head
  double scale;
  std::vector<float> qkv;  // [pictures, tokens, 3, heads, width]
  std::vector<float> dy;   // [pictures, tokens, heads, width]; empty for rollout
};

Layer read_layer(const nn::AttentionTrace& trace, bool with_gradient) {
  const Shape& shape = trace.qkv.shape();
  require(!with_gradient || trace.dy.gradient(),
          "attention flow: a layer has no gradient; run backward() first");
  return {.pictures = shape[0],
          .tokens = shape[1],
          .heads = trace.params.heads,
          .width = shape[2] / 3 / trace.params.heads,
          .scale = trace.params.scale,
          .qkv = floats_of(trace.qkv),
          .dy = with_gradient ? floats_of(trace.dy.gradient()) : std::vector<float>()};
}

// Rows of `width` that lie `stride` apart, as a matrix [tokens, width].
Tensor matrix_of(const float* first, std::int64_t tokens, std::int64_t stride, std::int64_t width) {
  std::vector<float> values;
  values.reserve(static_cast<std::size_t>(tokens * width));
  for (std::int64_t t = 0; t < tokens; ++t)
    values.insert(values.end(), first + t * stride, first + t * stride + width);
  return from_host(cpu_backend(), {tokens, width}, values);
}

// a [T,D] b [T,D]^T -> [T,T]
std::vector<float> product(const Tensor& a, const Tensor& b) {
  const Tensor y(cpu_backend(), {a.shape()[0], b.shape()[0]}, DType::f32);
  cpu_backend().matmul({.transpose_b = true}, a, b, {y});
  return to_host<float>(y);
}

void softmax_rows(std::vector<float>& scores, std::size_t columns, double scale) {
  for (auto row = scores.begin(); row != scores.end(); row += static_cast<std::ptrdiff_t>(columns)) {
    const auto end = row + static_cast<std::ptrdiff_t>(columns);
    const float largest = *std::max_element(row, end);
    double sum = 0;
    for (auto score = row; score != end; ++score)
      sum += * score = static_cast<float>(std::exp(scale * (*score - largest)));
    for (auto score = row; score != end; ++score) *score = static_cast<float>(*score / sum);
  }
}

// What each pair of tokens of one head gives: its attention weight, or the part of it that the label asked
// for.
std::vector<float> head_weights(const Layer& layer, std::int64_t picture, std::int64_t head) {
  const std::int64_t all = layer.heads * layer.width;
  const auto part = [&](std::int64_t which) {
    return matrix_of(layer.qkv.data() + (picture * layer.tokens * 3 + which) * all + head * layer.width,
                     layer.tokens, 3 * all, layer.width);
  };
  std::vector<float> weights = product(part(0), part(1));
  softmax_rows(weights, static_cast<std::size_t>(layer.tokens), layer.scale);
  if (layer.dy.empty()) return weights;
  // y = A v, so dA = dy v^T.
  const Tensor dy = matrix_of(layer.dy.data() + picture * layer.tokens * all + head * layer.width,
                              layer.tokens, all, layer.width);
  const std::vector<float> gradient = product(dy, part(2));
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = std::max(weights[i] * gradient[i], 0.0F);
  return weights;
}

// row [T] times the mean over heads of their weights.
std::vector<double> through_layer(const Layer& layer, std::int64_t picture, const std::vector<double>& row) {
  std::vector<double> result(row.size());
  for (std::int64_t head = 0; head < layer.heads; ++head) {
    const std::vector<float> weights = head_weights(layer, picture, head);
    for (std::size_t i = 0; i < row.size(); ++i)
      for (std::size_t j = 0; j < row.size(); ++j)
        result[j] += row[i] * weights[i * row.size() + j] / static_cast<double>(layer.heads);
  }
  return result;
}

std::vector<float> class_token_rows(const std::vector<nn::AttentionTrace>& traces, bool with_gradient) {
  require(!traces.empty(), "attention flow: no layers");
  const Shape& shape = traces.front().qkv.shape();
  std::vector<std::vector<double>> rows(static_cast<std::size_t>(shape[0]),
                                        std::vector<double>(static_cast<std::size_t>(shape[1])));
  for (std::vector<double>& row : rows) row[0] = 1;
  for (auto trace = traces.rbegin(); trace != traces.rend(); ++trace) {
    const Layer layer = read_layer(*trace, with_gradient);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::vector<double> mixed = through_layer(layer, static_cast<std::int64_t>(i), rows[i]);
      for (std::size_t j = 0; j < mixed.size(); ++j)
        rows[i][j] = with_gradient ? rows[i][j] + mixed[j] : (rows[i][j] + mixed[j]) / 2;
    }
  }
  std::vector<float> patches;
  for (const std::vector<double>& row : rows)
    for (std::size_t j = 1; j < row.size(); ++j) patches.push_back(static_cast<float>(row[j]));
  return patches;
}

}  // namespace

std::vector<float> attention_rollout(const std::vector<nn::AttentionTrace>& traces) {
  return class_token_rows(traces, false);
}

std::vector<float> gradient_attention(const std::vector<nn::AttentionTrace>& traces) {
  return class_token_rows(traces, true);
}

}  // namespace sagitta::models
