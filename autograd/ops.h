// The differentiable vocabulary, on one page.
// Every op checks its shapes, allocates its output, calls the backend and records one node. Absent optional
// inputs are empty Variables. An op has one dtype; where it is 16 bits, gamma, beta, statistics and losses
// are f32 (tensor/backend.h), and cast() stands between. Letters: N images, H W pixels, C channels, B batch,
// T tokens, D width, K classes.
#pragma once
#include <utility>
#include <vector>

#include "autograd/variable.h"
#include "tensor/op_params.h"

namespace sagitta::autograd {

// ---- elementwise: any shape; binary ops take equal shapes ----
Variable unary(UnaryOp op, const Variable& x);
Variable binary(BinaryOp op, const Variable& a, const Variable& b);
inline Variable relu(const Variable& x) { return unary(UnaryOp::relu, x); }
inline Variable gelu(const Variable& x) { return unary(UnaryOp::gelu, x); }
inline Variable gelu_tanh(const Variable& x) { return unary(UnaryOp::gelu_tanh, x); }
inline Variable quick_gelu(const Variable& x) { return unary(UnaryOp::quick_gelu, x); }
inline Variable silu(const Variable& x) { return unary(UnaryOp::silu, x); }
inline Variable sigmoid(const Variable& x) { return unary(UnaryOp::sigmoid, x); }
inline Variable tanh(const Variable& x) { return unary(UnaryOp::tanh, x); }
inline Variable exp(const Variable& x) { return unary(UnaryOp::exp, x); }
inline Variable square(const Variable& x) { return unary(UnaryOp::square, x); }
inline Variable add(const Variable& a, const Variable& b) { return binary(BinaryOp::add, a, b); }
inline Variable sub(const Variable& a, const Variable& b) { return binary(BinaryOp::sub, a, b); }
inline Variable mul(const Variable& a, const Variable& b) { return binary(BinaryOp::mul, a, b); }
Variable scale(const Variable& x, double alpha);  // alpha * x
Variable sum(const Variable& x);                  // [1]
Variable cast(const Variable& x, DType dtype);  // rounded to a floating dtype; x itself when it has that one

// ---- matrix products ----
Variable matmul(const MatmulParams& params, const Variable& a, const Variable& b);  // [M,N] of matrices
// activation(x [..,K] weight [N,K]^T + bias [N]?) -> [..,N]
Variable linear(const Variable& x, const Variable& weight, const Variable& bias,
                const LinearParams& params = {});

// ---- images, channels last ----
// x [N,H,W,I], weight [O,KH,KW,I], bias [O]? -> [N,OH,OW,O]
Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias, const Conv2dParams& params);
Variable max_pool(const Variable& x, const PoolParams& params);  // [N,H,W,C] -> [N,OH,OW,C]
Variable global_avg_pool(const Variable& x);                     // [N,H,W,C] -> [N,C]

// ---- normalization ----
// Running statistics of a batch norm, [C] each; updated in training mode.
struct RunningStatistics {
  Tensor mean;
  Tensor var;
};
// relu?(batch_norm(x [..,C]) + residual?), gamma and beta [C]; params.relu switches the ReLU.
Variable batch_norm(const Variable& x, const Variable& gamma, const Variable& beta, const Variable& residual,
                    RunningStatistics& statistics, const BatchNormParams& params);
Variable layer_norm(const Variable& x, const Variable& gamma, const Variable& beta,
                    double eps);  // over the last axis
// {x + residual, layer_norm(x + residual)}: the residual stream and its normalized form in one pass.
std::pair<Variable, Variable> add_layer_norm(const Variable& x, const Variable& residual,
                                             const Variable& gamma, const Variable& beta, double eps);

// ---- attention and tokens ----
// qkv [B,T,3*D] packed as [B,T,3,heads,D/heads] -> [B,T,D]; `state` is needed when params.dropout > 0.
Variable attention(const Variable& qkv, const AttentionParams& params, const Tensor& state = {});
// patches [B,T,D], cls [1,1,D], positions [1,T+1,D] -> [B,T+1,D]
Variable prepend_token(const Variable& patches, const Variable& cls, const Variable& positions);
Variable select_token(const Variable& x, std::int64_t index);  // [B,T,D] -> [B,D]
// Position embeddings [1,1+g*g,D] resampled to a grid of height x width patches -> [1,1+height*width,D]; the
// first row (the class token's) is kept. As transformers' interpolate_pos_encoding: returned unchanged when
// the grid is the same.
Variable interpolate_positions(const Variable& positions, std::int64_t height, std::int64_t width);

// ---- shape: views of the leading axis ----
Variable reshape(const Variable& x, const Shape& shape);
Variable slice(const Variable& x, std::int64_t begin, std::int64_t end);  // rows [begin, end)
Variable concat(const std::vector<Variable>& parts);                      // along the leading axis

// ---- regularization and losses ----
Variable dropout(const Variable& x, const DropoutParams& params, const Tensor& state);
// Losses take f32 or f64 logits. Mean over the batch; logits [B,K], labels i64 [B] -> [1]
Variable softmax_cross_entropy(const Variable& logits, const Tensor& labels,
                               const CrossEntropyParams& params = {});
// Mean over all elements; logits and targets [B,K], pos_weight [K]?, weight [B,K]? -> [1]
Variable bce_with_logits(const Variable& logits, const Tensor& targets, const Tensor& pos_weight = {},
                         const Tensor& weight = {});

}  // namespace sagitta::autograd
