// How much of each patch reached the class token through the layers of a ViT: attention rollout, and the same
// weighted by gradients (the papers are named in explain.h). Works on the host, from what the layers left in
// their traces.
//
// Both rules multiply one matrix [T,T] per layer, R = M_L ... M_1, and ask for the class token's row of R
// alone. So the row is carried from the last layer down to the first, row <- row M_l: L products of a row and
// a matrix instead of L products of matrices.
#pragma once
#include <vector>

#include "nn/attention.h"

namespace sagitta::models {

// The traces are those of all layers of one batch, first layer first -> [N, T-1], the patches in row-major
// order. M = (A + 1) / 2, A the attention weights' mean over heads.
std::vector<float> attention_rollout(const std::vector<nn::AttentionTrace>& traces);
// M = 1 + mean over heads of relu(A * dA), dA the gradient that backward() left. Throws Error where it left
// none.
std::vector<float> gradient_attention(const std::vector<nn::AttentionTrace>& traces);

}  // namespace sagitta::models
