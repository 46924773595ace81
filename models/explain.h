// Where a model looked when it gave a label its logit: heat maps over the picture.
// A ResNet is asked by Grad-CAM, a ViT by its attention. Works on any backend and leaves the model as it was:
// mode, gradients and arena, so it may be asked in the middle of a training.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/classifier.h"

namespace sagitta::models {

enum class ExplainMethod {
  // ResNet (Selvaraju et al., "Grad-CAM", 2017): a deep feature map, summed over channels with the mean
  // gradient of the label's logit as weights; what speaks against the label is cut off (ReLU).
  grad_cam,
  // ViT (Chefer et al., "Generic attention-model explainability", 2021): R <- R + mean over heads of
  // relu(A * dlogit/dA) R through the layers, A the attention weights; the class token's row, of its patches.
  gradient_attention,
  // ViT (Abnar and Zuidema, "Quantifying attention flow in transformers", 2020): R <- (A + 1)/2 R, A the
  // mean over heads. Does not depend on the label: where the model looked at all.
  attention_rollout
};

// "grad-cam", "gradient-attention", "attention-rollout"
std::string name_of(ExplainMethod method);
// The methods that suit a model, the default one first.
std::vector<ExplainMethod> explain_methods(const ModelConfig& config);
// The method of that name, or the default one for "auto". Throws Error, naming those that suit the model, for
// another.
ExplainMethod parse_explain_method(std::string_view name, const ModelConfig& config);

struct GradCamOptions {
  // The map asked is that of the last stage which is at least so many cells wide and tall: for pictures of
  // 224 pixels the last of all, 7 x 7, as in the paper. Smaller pictures leave the last stage too few cells
  // to point with (4 x 4 at 112 pixels), so an earlier one is taken, if need be the first. 1: the last.
  std::int64_t least_cells = 7;
};

// pixels [N,H,W,C] as for logits(), and for each picture the label that is asked about -> heat [N,H,W], f32,
// on the CPU: values in [0, 1], the largest of each picture 1, or all 0 where the method finds nothing that
// speaks for the label. Maps of the network's own resolution (a feature map, the grid of patches) are
// enlarged bilinearly, align_corners = false.
//
// Memory: for grad_cam that of a prediction, and where an earlier stage is asked the activations of those
// behind it. For gradient_attention the activations of the batch, as in training but without gradients of
// parameters; for attention_rollout q, k and v of all layers. On the host q, k, v and the gradient of one
// layer, and two matrices [T,T] of one head.
//
// Throws Error when the method does not suit the model, shapes or labels do not fit, gradients are off
// (autograd::NoGradient), or the model's numbers are not finite.
Tensor explain(ImageClassifier& model, const Tensor& pixels, std::span<const std::int64_t> labels,
               ExplainMethod method, const GradCamOptions& grad_cam = {});

}  // namespace sagitta::models
