// Multi-head self-attention (Vaswani et al., 2017) with one fused query-key-value product.
// The fused weight [3*D, D] stands for three file tensors: query, key and value are its row slices.
#pragma once
#include <optional>

#include "nn/linear.h"

namespace sagitta::nn {

struct AttentionOptions {
  int heads = 1;
  bool qkv_bias = true;
  double dropout = 0;  // on the softmax weights, while training
  Init weight_init = {};
};

// qkv projection and attention; the output projection is a Linear of its own, as in the papers' figures.
class SelfAttention : public Module {
 public:
  SelfAttention(Module* parent, std::string name, Context& context, std::int64_t width,
                const AttentionOptions& options);

  autograd::Variable operator()(const autograd::Variable& x) const;  // [B,T,D] -> [B,T,D]

  Parameter weight;               // [3*D, D]
  std::optional<Parameter> bias;  // [3*D]

 private:
  AttentionParams params_;
  Tensor state_;
};

}  // namespace sagitta::nn
