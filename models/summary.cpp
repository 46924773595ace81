#include "models/summary.h"

#include <map>

#include "models/shape_backend.h"
#include "nn/attention.h"
#include "nn/batch_norm.h"
#include "nn/conv2d.h"
#include "nn/layer_norm.h"
#include "nn/linear.h"
#include "tensor/error.h"

namespace sagitta::models {
namespace {

// A layer of the module tree: its printed type and the parameter by which its calls are recognized.
struct Layer {
  std::string type;
  const nn::Parameter* weight = nullptr;
};

Layer layer_of(const nn::Module& module) {
  if (const auto* conv = dynamic_cast<const nn::Conv2d*>(&module)) return {"Conv2d", &conv->weight};
  if (const auto* linear = dynamic_cast<const nn::Linear*>(&module)) return {"Linear", &linear->weight};
  if (const auto* norm = dynamic_cast<const nn::BatchNorm*>(&module)) return {"BatchNorm2d", &norm->weight};
  if (const auto* norm = dynamic_cast<const nn::LayerNorm*>(&module)) return {"LayerNorm", &norm->weight};
  if (const auto* attention = dynamic_cast<const nn::SelfAttention*>(&module))
    return {"Linear (query, key, value)", &attention->weight};
  return {};
}

// The output as PyTorch has it: images channels first, the rows of a linear layer as [N, tokens, width].
Shape printed_shape(const Shape& output, std::int64_t batch) {
  if (output.rank() == 4) return {output[0], output[3], output[1], output[2]};
  if (output.rank() == 2 && output[0] != batch) return {batch, output[0] / batch, output[1]};
  return output;
}

std::int64_t parameters_of(const nn::Module& module) {
  std::int64_t count = 0;
  for (const nn::NamedParameter& named : module.named_parameters()) count += named.parameter->shape().numel();
  return count;
}

}  // namespace

ModelSummary summarize(const ModelConfig& config, std::int64_t batch, std::int64_t image_size) {
  require(batch >= 1, "summary: batch is {}, expected at least 1", batch);
  ShapeBackend backend;
  nn::Context context(backend);
  const auto model = make_classifier(config, context);
  model->eval();
  const std::int64_t size = image_size > 0 ? image_size : config.image_size;
  const std::int64_t channels = config.vit() ? config.vit()->num_channels : config.resnet()->num_channels;
  const autograd::NoGradient no_gradient;
  const Tensor pixels(backend, {batch, size, size, channels}, context.dtype());
  const Shape logits = model->logits(autograd::Variable(pixels)).shape();

  ModelSummary summary{.model = config.vit() ? "ViTForImageClassification" : "ResNetForImageClassification",
                       .input = {batch, channels, size, size},
                       .output = logits,
                       .layers = {},
                       .parameters = parameters_of(*model),
                       .input_bytes = static_cast<std::int64_t>(pixels.bytes())};
  std::map<const std::byte*, const ShapeBackend::Call*> call_of;
  for (const ShapeBackend::Call& call : backend.calls()) {
    if (call.weight) call_of[call.weight] = &call;
    summary.multiply_adds += call.multiply_adds;
  }
  for (const nn::NamedModule& named : model->named_modules()) {
    const Layer layer = layer_of(*named.module);
    if (!layer.weight) continue;
    const auto call = call_of.find(layer.weight->value().raw());
    require(call != call_of.end(), "summary: layer {} did not run", named.name);
    const Shape output = printed_shape(call->second->output, batch);
    const std::int64_t parameters = parameters_of(*named.module);
    const std::int64_t pixels_out = layer.type == "Conv2d" ? output[2] * output[3] : 1;
    summary.layers.push_back({named.name, layer.type, output, parameters, parameters * batch * pixels_out});
    summary.torchinfo_multiply_adds += summary.layers.back().torchinfo_multiply_adds;
    summary.forward_backward_bytes +=
        2 * output.numel() * static_cast<std::int64_t>(size_of(context.dtype()));
    summary.parameter_bytes += parameters * static_cast<std::int64_t>(size_of(context.dtype()));
  }
  return summary;
}

}  // namespace sagitta::models
