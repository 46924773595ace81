// What dnn.h asks cuDNN for, free of any memory: an op with its shapes, as text and as a Graph.
// Two problems of the same key have the same graph and the same best plan. Production and the plan test both
// start here, so what the test has finalized is what runs.
#pragma once
#include <string>
#include <variant>

#include "cuda/dnn_graph.h"
#include "tensor/shape.h"

namespace sagitta::cuda {

struct ConvolutionProblem {
  enum class Pass { forward, backward_input, backward_weight };
  // The tensors by their place in the forward pass: the gradients take the places of what they belong to.
  enum Uid : std::int64_t { kX = 1, kWeight, kY };

  Pass pass = Pass::forward;
  Conv2dParams params = {};
  DType dtype = DType::f32;
  Shape x = {};       // [N,H,W,I]
  Shape weight = {};  // [O,KH,KW,I]

  Shape y() const;          // [N,OH,OW,O]
  std::string key() const;  // "convolution bf16 x [32, 56, 56, 64] weight [64, 3, 3, 64] stride 1 padding 1"
  void build(Graph& graph) const;
};

// Attention on packed projections [B,T,3,H,D] (Dao et al., "FlashAttention", 2022): the scores exist on chip
// only, backward computes them again from lse.
struct AttentionProblem {
  enum Uid : std::int64_t { kQ = 1, kK, kV, kScale, kO, kLse, kDo, kDq, kDk, kDv, kOne, kRowSum, kDqSum };

  bool backward = false;
  // Backward only: false sums dq in f32 by atomic additions, in any order; true makes cuDNN keep the gradient
  // of the scores in its workspace (2 B H T^2 bytes) and form dq from it.
  bool deterministic = true;
  DType dtype = DType::bf16;
  std::int64_t batch = 1, tokens = 1, heads = 1, head_dim = 64;

  std::string key() const;
  void build(Graph& graph) const;

 private:
  Graph::Layout packed() const;                      // q, k, v and their gradients
  Graph::Layout separate() const;                    // o and its gradient
  Graph::Layout per_row() const;                     // lse [B,H,T,1]
  Graph::Layout scores(bool on_tensor_cores) const;  // [B,H,T,T]
  void build_forward(Graph& graph) const;
  void build_backward(Graph& graph) const;
};

using Problem = std::variant<ConvolutionProblem, AttentionProblem>;
inline std::string key_of(const Problem& problem) {
  return std::visit([](const auto& p) { return p.key(); }, problem);
}
inline void build(const Problem& problem, Graph& graph) {
  std::visit([&](const auto& p) { p.build(graph); }, problem);
}

}  // namespace sagitta::cuda
