// Ops for evaluation only: fused further than a backward pass could follow. They throw where gradients are
// recorded.
#pragma once
#include "autograd/ops.h"

namespace sagitta::autograd {

// relu?(batch_norm(conv2d(x [N,H,W,I], weight [O,KH,KW,I])) + residual [N,OH,OW,O]?) with the running
// statistics, in one sweep; gamma and beta [O].
Variable conv2d_batch_norm(const Variable& x, const Variable& weight, const Variable& gamma,
                           const Variable& beta, const Variable& residual,
                           const RunningStatistics& statistics, const ConvNormParams& params);

}  // namespace sagitta::autograd
