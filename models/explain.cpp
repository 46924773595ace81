#include "models/explain.h"

#include <algorithm>

#include "models/attention_flow.h"
#include "models/heat_map.h"
#include "models/resnet.h"
#include "models/vit.h"
#include "nn/constant_parameters.h"
#include "nn/evaluation_mode.h"
#include "nn/frozen_parameters.h"
#include "tensor/error.h"

namespace sagitta::models {
namespace {

// Runs backward() from the logit of each picture's label. Pictures do not meet in evaluation mode, so the
// gradient of the sum holds each picture's own.
void backward_from_labels(const autograd::Variable& logits, std::span<const std::int64_t> labels) {
  const std::int64_t columns = logits.shape()[1];
  std::vector<float> one_hot(static_cast<std::size_t>(logits.shape().numel()));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    require(labels[i] >= 0 && labels[i] < columns, "explain: label is {}, expected 0 to {}", labels[i],
            columns - 1);
    one_hot[i * static_cast<std::size_t>(columns) + static_cast<std::size_t>(labels[i])] = 1;
  }
  Tensor seed = logits.value().like();
  seed.backend().convert(from_host(seed.backend(), seed.shape(), one_hot), seed);
  autograd::backward(logits, seed);
}

// What Grad-CAM asks: a feature map as a leaf, and the stages behind it.
struct AskedFeatures {
  autograd::Variable map;  // [N,h,w,C]
  std::size_t next_stage = 0;
};

AskedFeatures asked_features(ResNet& model, const Tensor& pixels, std::int64_t least_cells) {
  const autograd::NoGradient no_gradient;  // the gradient is asked for at the map, and ends there
  autograd::Variable h = model.through_stages(model.stem(autograd::Variable(pixels)), 0, 1);
  std::size_t next = 1;
  for (; next < model.stages.size(); ++next) {
    const std::int64_t halved = (std::min(h.shape()[1], h.shape()[2]) + 1) / 2;
    if (halved < least_cells) break;
    h = model.through_stages(h, next, next + 1);
  }
  return {autograd::leaf(h.value()), next};
}

CellMaps cam_of(ResNet& model, const Tensor& pixels, std::span<const std::int64_t> labels,
                const GradCamOptions& options) {
  const auto [features, next_stage] = asked_features(model, pixels, options.least_cells);
  const autograd::Variable last = model.through_stages(features, next_stage, model.stages.size());
  backward_from_labels(model.classify(model.pool(last)), labels);
  Backend& backend = pixels.backend();
  const std::int64_t pictures = features.shape()[0], rows = features.shape()[1],
                     columns = features.shape()[2], channels = features.shape()[3];
  Tensor weights(backend, {pictures, channels}, pixels.dtype());
  backend.global_avg_pool(features.gradient(), weights);
  Tensor maps(backend, {pictures, rows * columns}, pixels.dtype());
  for (std::int64_t i = 0; i < pictures; ++i)
    backend.matmul({}, features.value().slice(i, i + 1).reshape({rows * columns, channels}),
                   weights.slice(i, i + 1).reshape({channels, 1}),
                   {maps.slice(i, i + 1).reshape({rows * columns, 1})});
  backend.unary(UnaryOp::relu, maps, maps);
  const auto per_cell = [](std::int64_t side, std::int64_t cells) {
    return static_cast<double>(side) / static_cast<double>(cells);
  };
  return {.rows = rows,
          .columns = columns,
          .pixels_per_row = per_cell(pixels.shape()[1], rows),
          .pixels_per_column = per_cell(pixels.shape()[2], columns),
          .values = floats_of(maps)};
}

CellMaps attention_flow(ViT& model, const Tensor& pixels, std::span<const std::int64_t> labels,
                        bool by_gradient) {
  autograd::Variable tokens;
  {
    const autograd::NoGradient no_gradient;
    tokens = autograd::leaf(model.embeddings(autograd::Variable(pixels)).value());
  }
  std::vector<nn::AttentionTrace> traces;
  if (by_gradient) {
    backward_from_labels(model.classify(model.encode(tokens, &traces)), labels);
  } else {
    const autograd::NoGradient no_gradient;
    (void)model.encode(tokens, &traces);
  }
  const std::int64_t patch = model.config().vit()->patch_size;
  return {.rows = pixels.shape()[1] / patch,
          .columns = pixels.shape()[2] / patch,
          .pixels_per_row = static_cast<double>(patch),
          .pixels_per_column = static_cast<double>(patch),
          .values = by_gradient ? gradient_attention(traces) : attention_rollout(traces)};
}

}  // namespace

std::string name_of(ExplainMethod method) {
  switch (method) {
    case ExplainMethod::grad_cam: return "grad-cam";
    case ExplainMethod::gradient_attention: return "gradient-attention";
    case ExplainMethod::attention_rollout: break;
  }
  return "attention-rollout";
}

std::vector<ExplainMethod> explain_methods(const ModelConfig& config) {
  if (config.resnet()) return {ExplainMethod::grad_cam};
  return {ExplainMethod::gradient_attention, ExplainMethod::attention_rollout};
}

ExplainMethod parse_explain_method(std::string_view name, const ModelConfig& config) {
  const std::vector<ExplainMethod> methods = explain_methods(config);
  if (name == "auto") return methods.front();
  std::string known;
  for (const ExplainMethod method : methods) {
    if (name_of(method) == name) return method;
    known += (known.empty() ? "" : " or ") + name_of(method);
  }
  fail("explain: method is '{}', expected {} for this model", name, known);
}

Tensor explain(ImageClassifier& model, const Tensor& pixels, std::span<const std::int64_t> labels,
               ExplainMethod method, const GradCamOptions& grad_cam) {
  require(pixels.shape().rank() == 4 && pixels.shape()[0] == static_cast<std::int64_t>(labels.size()),
          "explain: pixels are {}, expected [{}, H, W, C] for {} labels", pixels.shape(), labels.size(),
          labels.size());
  require(autograd::gradients_enabled(), "explain: called where gradients are off (a NoGradient lives)");
  const std::vector<ExplainMethod> suited = explain_methods(model.config());
  require(std::find(suited.begin(), suited.end(), method) != suited.end(),
          "explain: method is {}, expected {} for this model", name_of(method), name_of(suited.front()));
  const nn::EvaluationMode evaluation(model);
  const nn::FrozenParameters frozen(model);
  const nn::ConstantParameters constant(model);
  CellMaps maps;
  if (method == ExplainMethod::grad_cam)
    maps = cam_of(dynamic_cast<ResNet&>(model), pixels, labels, grad_cam);
  else
    maps = attention_flow(dynamic_cast<ViT&>(model), pixels, labels,
                          method == ExplainMethod::gradient_attention);
  return heat_of(maps, pixels.shape()[1], pixels.shape()[2]);
}

}  // namespace sagitta::models
