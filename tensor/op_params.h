// The scalars of the ops, in small structs: they travel from autograd/ to a kernel unchanged, and call sites
// name them with designated initializers.
#pragma once
#include <cstdint>

#include "tensor/elementwise.h"
#include "tensor/random.h"

namespace sagitta {

// What changes from step to step and must be read from device memory, so that a captured step can be
// replayed: one StepState lives in a u8 tensor of sizeof(StepState) bytes and is rewritten by the host before
// each step.
struct StepState {
  std::uint64_t seed = 0;
  std::uint32_t micro_step = 0;      // counts forward passes: keys the random numbers of dropout
  std::uint32_t optimizer_step = 1;  // counts parameter updates from 1: Adam's bias correction, which leaves
                                     // out the steps that a loss scale skipped
  double learning_rate = 0;
};

struct MatmulParams {
  bool transpose_a = false;
  bool transpose_b = false;
};

struct LinearParams {
  UnaryOp activation = UnaryOp::identity;
};

struct Conv2dParams {
  int stride = 1;
  int padding = 0;  // zeros on all four sides
  // Output extent for an input extent and kernel size.
  std::int64_t out(std::int64_t in, std::int64_t kernel) const {
    return (in + 2 * padding - kernel) / stride + 1;
  }
};

struct PoolParams {
  int kernel = 3;
  int stride = 2;
  int padding = 1;  // -infinity on all four sides
  std::int64_t out(std::int64_t in) const { return (in + 2 * padding - kernel) / stride + 1; }
};

struct BatchNormParams {
  double eps = 1e-5;
  double momentum = 0.1;  // running = (1 - momentum) * running + momentum * batch
  bool training =
      true;           // batch statistics (and update the running ones); false: normalize by the running ones
  bool relu = false;  // fused ops only: max(., 0) after the residual
};

struct ConvNormParams {
  Conv2dParams conv;
  double eps = 1e-5;
  bool relu = false;
};

struct AttentionParams {
  int heads = 1;
  double scale = 1;    // usually head_dim^-0.5
  double dropout = 0;  // probability that a softmax weight is dropped; the survivors are scaled by 1/(1-p)
  std::uint32_t stream = 0;  // random stream of the dropout mask
};

struct DropoutParams {
  double p = 0.5;  // probability of zero; survivors are scaled by 1/(1-p)
  std::uint32_t stream = 0;
};

struct CrossEntropyParams {
  double label_smoothing = 0;
  std::int64_t ignore_index = -100;  // rows with this label count neither in the loss nor in the mean
};

struct ImageParams {
  float mean[4] = {};  // per channel, of values scaled to [0, 1]; at most 4 channels
  float std[4] = {1, 1, 1, 1};
};

// The elements of a loss-scale tensor, f32 [3]: what the loss is multiplied by so that small gradients do not
// vanish in f16, and how it is doing. Counts stay far below 2^24, so that f32 holds them exactly.
enum LossScale { kLossScaleFactor = 0, kLossScaleGoodSteps = 1, kLossScaleSkippedSteps = 2 };

struct LossScaleParams {  // the defaults of PyTorch's GradScaler
  double growth = 2;
  double backoff = 0.5;
  int interval = 2000;
};

struct SgdParams {
  double momentum = 0;
  bool nesterov = false;
  double max_norm = 0;  // clip the gradient to this L2 norm; 0: no clipping
};

struct AdamParams {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  bool decoupled =
      false;  // true: AdamW (decay applied to the weights); false: Adam (decay added to the gradient)
  double max_norm = 0;  // as in SgdParams
};

// The random words of a dropout mask: one key per (seed, stream, micro-step).
SAGITTA_HOST_DEVICE inline random::Key mask_key(const StepState& state, std::uint32_t stream) {
  return {state.seed, stream, state.micro_step};
}

}  // namespace sagitta
