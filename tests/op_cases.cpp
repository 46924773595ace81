#include "op_cases.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops.h"
#include "autograd/recompute.h"
#include "autograd/retain_gradient.h"
#include "nn/context.h"
#include "tensor/error.h"

namespace sagitta::test {
namespace {

using namespace autograd;
using Inputs = std::vector<Variable>;

Tensor step_state(const Variable& like) {
  Tensor state(like.value().backend(), {sizeof(StepState)}, DType::u8);
  nn::write_step_state(state, {.seed = 7, .micro_step = 3, .optimizer_step = 1, .learning_rate = 0});
  return state;
}

// Targets in [0, 1] for the losses.
Tensor targets_like(const Tensor& like, const Shape& shape) {
  std::vector<double> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = i % 3 == 0 ? 1 : i % 3 == 1 ? 0 : 0.3;
  return tensor_like(like, shape, values);
}

Tensor positive_like(const Tensor& like, const Shape& shape) {
  std::vector<double> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.5 + static_cast<double>(i % 5);
  return tensor_like(like, shape, values);
}

// f32 in place of a 16-bit type: what the parameters of norms and the logits of losses are.
Variable widened(const Variable& x) { return cast(x, accumulate_dtype(x.value().dtype())); }

Variable run_batch_norm(const Inputs& in, const Variable& residual, const BatchNormParams& params) {
  const Variable gamma = widened(in[1]), beta = widened(in[2]);
  RunningStatistics statistics{random_like(gamma.value(), gamma.shape(), 90),
                               positive_like(gamma.value(), gamma.shape())};
  return batch_norm(in[0], gamma, beta, residual, statistics, params);
}

// Tables, kept one case to a few lines.
// clang-format off
std::vector<OpCase> unary_cases() {
  std::vector<OpCase> cases;
  const auto one = [&](const std::string& op, Domain domain, Variable (*function)(const Variable&)) {
    for (const Shape& shape : {Shape{3, 5}, Shape{1}, Shape{2, 3, 1, 7}})
      cases.push_back({op, op + " " + shape.str(), {shape}, domain, [=](const Inputs& in) { return function(in[0]); }});
  };
  one("relu", Domain::away_from_zero, relu);
  one("gelu", Domain::normal, gelu);
  one("gelu_tanh", Domain::normal, gelu_tanh);
  one("quick_gelu", Domain::normal, quick_gelu);
  one("silu", Domain::normal, silu);
  one("sigmoid", Domain::normal, sigmoid);
  one("tanh", Domain::normal, autograd::tanh);
  one("exp", Domain::normal, autograd::exp);
  one("square", Domain::normal, square);
  one("unary", Domain::normal, [](const Variable& x) { return unary(UnaryOp::identity, x); });
  return cases;
}

std::vector<OpCase> binary_cases() {
  return {
      {"add", "add", {{3, 5}, {3, 5}}, Domain::normal, [](const Inputs& in) { return add(in[0], in[1]); }},
      {"add", "x + x", {{3, 5}}, Domain::normal, [](const Inputs& in) { return add(in[0], in[0]); }},
      {"sub", "sub", {{7}, {7}}, Domain::normal, [](const Inputs& in) { return sub(in[0], in[1]); }},
      {"mul", "mul", {{2, 3, 4}, {2, 3, 4}}, Domain::normal, [](const Inputs& in) { return mul(in[0], in[1]); }},
      {"mul", "x * x", {{9}}, Domain::normal, [](const Inputs& in) { return mul(in[0], in[0]); }},
      {"binary", "binary", {{4}, {4}}, Domain::normal,
       [](const Inputs& in) { return binary(BinaryOp::mul, in[0], in[1]); }},
      {"scale", "scale", {{4, 3}}, Domain::normal, [](const Inputs& in) { return scale(in[0], -2.5); }},
      {"sum", "sum", {{4, 3, 2}}, Domain::normal, [](const Inputs& in) { return sum(in[0]); }},
      {"cast", "cast to f32 and back", {{3, 7}}, Domain::normal,
       [](const Inputs& in) { return cast(cast(in[0], DType::f32), in[0].value().dtype()); }, 8},
      {"cast", "cast used twice", {{3, 7}}, Domain::normal,
       [](const Inputs& in) {
         const Variable f32 = cast(in[0], DType::f32);
         return add(f32, scale(f32, 3));
       }, 8},
  };
}

std::vector<OpCase> linear_cases() {
  std::vector<OpCase> cases;
  for (const bool ta : {false, true})
    for (const bool tb : {false, true})
      cases.push_back({"matmul", fmt::format("matmul {} {}", ta ? "T" : "N", tb ? "T" : "N"),
                       {ta ? Shape{4, 3} : Shape{3, 4}, tb ? Shape{5, 4} : Shape{4, 5}}, Domain::normal,
                       [=](const Inputs& in) { return matmul({ta, tb}, in[0], in[1]); }});
  for (const UnaryOp op : {UnaryOp::identity, UnaryOp::gelu, UnaryOp::tanh, UnaryOp::sigmoid})
    cases.push_back({"linear", fmt::format("linear activation {}", static_cast<int>(op)), {{2, 3, 4}, {5, 4}, {5}},
                     Domain::normal,
                     [=](const Inputs& in) { return linear(in[0], in[1], in[2], {.activation = op}); }});
  cases.push_back({"linear", "linear without bias", {{7, 19}, {33, 19}}, Domain::normal,
                   [](const Inputs& in) { return linear(in[0], in[1], {}); }});
  cases.push_back({"linear", "linear on one row", {{19}, {3, 19}, {3}}, Domain::normal,
                   [](const Inputs& in) { return linear(in[0], in[1], in[2]); }});
  return cases;
}

std::vector<OpCase> image_cases() {
  std::vector<OpCase> cases;
  struct Conv {
    Shape x, weight;
    int stride, padding;
  };
  const std::vector<Conv> convolutions{{{2, 5, 6, 3}, {4, 3, 3, 3}, 1, 1}, {{1, 7, 7, 2}, {3, 3, 3, 2}, 2, 1},
                                       {{2, 4, 5, 6}, {3, 1, 1, 6}, 1, 0}, {{2, 5, 5, 4}, {2, 1, 1, 4}, 2, 0},
                                       {{1, 9, 8, 3}, {4, 7, 7, 3}, 2, 3}, {{2, 8, 8, 3}, {5, 4, 4, 3}, 4, 0},
                                       {{1, 6, 5, 1}, {2, 2, 3, 1}, 1, 2}, {{1, 8, 9, 2}, {1, 3, 2, 2}, 3, 0}};
  for (const Conv& c : convolutions) {
    cases.push_back({"conv2d", fmt::format("conv2d {} * {} stride {} padding {}", c.x.str(), c.weight.str(), c.stride,
                                           c.padding),
                     {c.x, c.weight, {c.weight[0]}}, Domain::normal, [=](const Inputs& in) {
                       return conv2d(in[0], in[1], in[2], {.stride = c.stride, .padding = c.padding});
                     }});
  }
  cases.push_back({"conv2d", "conv2d without bias", {{2, 5, 5, 3}, {4, 3, 3, 3}}, Domain::normal,
                   [](const Inputs& in) { return conv2d(in[0], in[1], {}, {.stride = 1, .padding = 1}); }});
  cases.push_back({"max_pool", "max_pool 3x3 stride 2 padding 1", {{2, 7, 6, 3}}, Domain::distinct,
                   [](const Inputs& in) { return max_pool(in[0], {}); }});
  cases.push_back({"max_pool", "max_pool 2x2 stride 1", {{1, 4, 5, 2}}, Domain::distinct, [](const Inputs& in) {
                     return max_pool(in[0], {.kernel = 2, .stride = 1, .padding = 0});
                   }});
  cases.push_back({"global_avg_pool", "global_avg_pool", {{2, 3, 4, 5}}, Domain::normal,
                   [](const Inputs& in) { return global_avg_pool(in[0]); }});
  return cases;
}

std::vector<OpCase> norm_cases() {
  std::vector<OpCase> cases;
  const Shape x{3, 2, 4, 5}, c{5};
  for (const bool training : {true, false}) {
    const std::string mode = training ? "train" : "eval";
    const BatchNormParams params{.eps = 1e-5, .momentum = 0.1, .training = training, .relu = false};
    BatchNormParams with_relu = params;
    with_relu.relu = true;
    cases.push_back({"batch_norm", "batch_norm " + mode, {x, c, c}, Domain::normal,
                     [=](const Inputs& in) { return run_batch_norm(in, {}, params); }});
    cases.push_back({"batch_norm", "batch_norm relu " + mode, {x, c, c}, Domain::normal,
                     [=](const Inputs& in) { return run_batch_norm(in, {}, with_relu); }});
    cases.push_back({"batch_norm", "batch_norm residual " + mode, {x, c, c, x}, Domain::normal,
                     [=](const Inputs& in) { return run_batch_norm(in, in[3], params); }});
    cases.push_back({"batch_norm", "batch_norm residual relu " + mode, {x, c, c, x}, Domain::normal,
                     [=](const Inputs& in) { return run_batch_norm(in, in[3], with_relu); }});
    cases.push_back({"batch_norm", "batch_norm plus its own input " + mode, {x, c, c}, Domain::normal,
                     [=](const Inputs& in) { return run_batch_norm(in, in[0], with_relu); }});
  }
  cases.push_back({"batch_norm", "batch_norm of a wide matrix", {{6, 37}, {37}, {37}}, Domain::normal,
                   [](const Inputs& in) { return run_batch_norm(in, {}, {}); }});
  cases.push_back({"layer_norm", "layer_norm", {{2, 3, 7}, {7}, {7}}, Domain::normal,
                   [](const Inputs& in) { return layer_norm(in[0], widened(in[1]), widened(in[2]), 1e-12); }});
  cases.push_back({"layer_norm", "layer_norm of one wide row", {{1, 67}, {67}, {67}}, Domain::normal,
                   [](const Inputs& in) { return layer_norm(in[0], widened(in[1]), widened(in[2]), 1e-5); }});
  cases.push_back({"add_layer_norm", "add_layer_norm", {{2, 3, 7}, {2, 3, 7}, {7}, {7}}, Domain::normal,
                   [](const Inputs& in) {
                     const auto [stream, y] = add_layer_norm(in[0], in[1], widened(in[2]), widened(in[3]), 1e-6);
                     return add(scale(stream, 0.3), y);  // both outputs are used, as in a transformer block
                   }});
  return cases;
}

std::vector<OpCase> token_cases() {
  const Shape qkv{2, 5, 3 * 6};
  std::vector<OpCase> cases;
  for (const int heads : {1, 2})
    cases.push_back({"attention", fmt::format("attention {} heads", heads), {qkv}, Domain::normal,
                     [=](const Inputs& in) { return attention(in[0], {.heads = heads, .scale = 0.5}); }});
  cases.push_back({"attention", "attention with dropout", {qkv}, Domain::normal, [](const Inputs& in) {
                     return attention(in[0], {.heads = 2, .scale = 0.5, .dropout = 0.3, .stream = 4},
                                      step_state(in[0]));
                   }});
  cases.push_back({"attention", "attention over many tokens", {{1, 131, 3 * 8}}, Domain::normal,
                   [](const Inputs& in) { return attention(in[0], {.heads = 2, .scale = 0.5}); }});
  cases.push_back({"prepend_token", "prepend_token", {{2, 4, 3}, {1, 1, 3}, {1, 5, 3}}, Domain::normal,
                   [](const Inputs& in) { return prepend_token(in[0], in[1], in[2]); }});
  cases.push_back({"select_token", "select_token", {{2, 4, 3}}, Domain::normal,
                   [](const Inputs& in) { return select_token(in[0], 1); }});
  for (const auto& [h, w] : {std::pair{5, 4}, {3, 3}, {2, 7}})
    cases.push_back({"interpolate_positions", fmt::format("interpolate_positions 3x3 to {}x{}", h, w), {{1, 10, 4}},
                     Domain::normal, [=](const Inputs& in) { return interpolate_positions(in[0], h, w); }});
  return cases;
}

std::vector<OpCase> shape_cases() {
  return {
      {"reshape", "reshape", {{4, 3}}, Domain::normal, [](const Inputs& in) { return reshape(in[0], {2, 6}); }},
      {"slice", "slice", {{5, 3}}, Domain::normal, [](const Inputs& in) { return slice(in[0], 1, 3); }},
      {"slice", "overlapping slices", {{5, 3}}, Domain::normal,
       [](const Inputs& in) { return mul(slice(in[0], 0, 3), slice(in[0], 2, 5)); }},
      {"concat", "concat", {{2, 3}, {1, 3}, {4, 3}}, Domain::normal, [](const Inputs& in) { return concat(in); }},
      {"concat", "concat with itself", {{2, 3}}, Domain::normal,
       [](const Inputs& in) { return concat({in[0], in[0]}); }},
  };
}

std::vector<OpCase> loss_cases() {
  return {
      {"dropout", "dropout", {{5, 7}}, Domain::normal,
       [](const Inputs& in) { return dropout(in[0], {.p = 0.4, .stream = 2}, step_state(in[0])); }},
      {"softmax_cross_entropy", "softmax_cross_entropy", {{3, 5}}, Domain::normal,
       [](const Inputs& in) {
         const Tensor labels = from_host<std::int64_t>(in[0].value().backend(), {3}, {4, 0, 2});
         return softmax_cross_entropy(widened(in[0]), labels);
       }},
      {"softmax_cross_entropy", "softmax_cross_entropy smoothed, one row ignored", {{3, 5}}, Domain::normal,
       [](const Inputs& in) {
         const Tensor labels = from_host<std::int64_t>(in[0].value().backend(), {3}, {4, -100, 2});
         return softmax_cross_entropy(widened(in[0]), labels, {.label_smoothing = 0.1});
       }},
      {"bce_with_logits", "bce_with_logits", {{4, 3}}, Domain::normal,
       [](const Inputs& in) {
         const Variable logits = widened(in[0]);
         return bce_with_logits(logits, targets_like(logits.value(), {4, 3}));
       }},
      {"bce_with_logits", "bce_with_logits weighted", {{4, 3}}, Domain::normal,
       [](const Inputs& in) {
         const Variable logits = widened(in[0]);
         const Tensor& like = logits.value();
         return bce_with_logits(logits, targets_like(like, {4, 3}), positive_like(like, {3}),
                                positive_like(like, {4, 3}));
       }},
      {"retain_gradient", "retain_gradient of a value used twice", {{3, 4}}, Domain::normal,
       [](const Inputs& in) {
         const Variable x = retain_gradient(gelu(in[0]), RetainedGradient());
         return add(x, square(x));
       }},
      {"recompute", "recompute of a block", {{3, 4}, {5, 4}, {5}}, Domain::normal,
       [](const Inputs& in) {
         return recompute(in[0], [=](const Variable& x) { return gelu(linear(gelu(x), in[1], in[2])); });
       }},
  };
}

// clang-format on
}  // namespace

const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> cases = [] {
    std::vector<OpCase> all;
    for (auto* family : {unary_cases, binary_cases, linear_cases, image_cases, norm_cases, token_cases,
                         shape_cases, loss_cases})
      for (OpCase& op_case : family()) all.push_back(std::move(op_case));
    return all;
  }();
  return cases;
}

std::vector<double> case_values(const OpCase& op_case, std::size_t index) {
  const auto count = static_cast<std::size_t>(op_case.inputs.at(index).numel());
  const random::Key key{11, static_cast<std::uint32_t>(index), 0};
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    const double x = random::normal(key, i);
    if (op_case.domain == Domain::away_from_zero)
      values[i] = std::copysign(0.2 + std::abs(std::sin(x)), x);
    else
      values[i] = x;
  }
  if (op_case.domain == Domain::distinct) {
    std::vector<std::size_t> order(count);
    for (std::size_t i = 0; i < count; ++i) order[i] = i;
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    for (std::size_t i = 0; i < count; ++i) values[order[i]] = 0.01 * static_cast<double>(i) - 0.5;
  }
  return values;
}

Tensor tensor_like(const Tensor& like, const Shape& shape, const std::vector<double>& values) {
  Tensor tensor(like.backend(), shape, like.dtype());
  like.backend().convert(from_host(like.backend(), shape, values), tensor);
  return tensor;
}

Tensor random_like(const Tensor& like, const Shape& shape, std::uint32_t stream) {
  std::vector<double> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = random::normal({23, stream, 0}, i);
  return tensor_like(like, shape, values);
}

std::vector<double> values_of(const Tensor& tensor) {
  Tensor wide(tensor.backend(), tensor.shape(), DType::f64);
  tensor.backend().convert(tensor, wide);
  return to_host<double>(wide);
}

}  // namespace sagitta::test
