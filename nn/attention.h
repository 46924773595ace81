// Multi-head self-attention (Vaswani et al., 2017) with one fused query-key-value product.
// The fused weight [3*D, D] stands for three file tensors: query, key and value are its row slices. The
// weights of the softmax are nowhere kept; an AttentionTrace is what they, and their gradients, can be
// computed from again.
#pragma once
#include <optional>

#include "autograd/retain_gradient.h"
#include "nn/linear.h"

namespace sagitta::nn {

struct AttentionOptions {
  int heads = 1;
  bool qkv_bias = true;
  double dropout = 0;  // on the softmax weights, while training
  Init weight_init = {};
};

// One attention as it ran: softmax(scale q k^T) are its weights, dy v^T their gradient, per head.
struct AttentionTrace {
  AttentionParams params;
  Tensor qkv;                     // [B,T,3*D]: q, k and v, each [heads, D/heads]
  autograd::RetainedGradient dy;  // of the output [B,T,D]; filled by backward()
};

// qkv projection and attention; the output projection is a Linear of its own, as in the papers' figures.
class SelfAttention : public Module {
 public:
  SelfAttention(Module* parent, std::string name, Context& context, std::int64_t width,
                const AttentionOptions& options);

  // [B,T,D] -> [B,T,D]; leaves in `trace`, when there is one, how.
  autograd::Variable operator()(const autograd::Variable& x, AttentionTrace* trace = nullptr) const;

  Parameter weight;               // [3*D, D]
  std::optional<Parameter> bias;  // [3*D]

 private:
  AttentionParams params_;
  Tensor state_;
};

}  // namespace sagitta::nn
