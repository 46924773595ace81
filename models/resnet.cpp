#include "models/resnet.h"

namespace sagitta::models {
namespace {

constexpr int kStemKernel = 7;

}  // namespace

ConvLayer::ConvLayer(nn::Module* parent, std::string name, const nn::Context& context, std::int64_t in,
                     std::int64_t out, const Options& options)
    : Module(parent, std::move(name)),
      convolution(this, "convolution", context, in, out,
                  {.kernel = options.kernel,
                   .stride = options.stride,
                   .padding = options.kernel / 2,
                   .weight_init = nn::Init::kaiming_normal(out * options.kernel * options.kernel),
                   .bias_init = {}}),
      normalization(this, "normalization", context, out),
      activation_(options.activation) {}

autograd::Variable ConvLayer::operator()(const autograd::Variable& x, const autograd::Variable& residual) {
  const bool relu = activation_ == UnaryOp::relu;
  const nn::BatchNorm::Fused fused{.residual = residual, .relu = relu};
  const bool in_one_sweep = !normalization.training() && !autograd::gradients_enabled();
  const autograd::Variable y =
      in_one_sweep ? normalization.after(convolution, x, fused) : normalization(convolution(x), fused);
  return relu || activation_ == UnaryOp::identity ? y : autograd::unary(activation_, y);
}

ResNetLayer::ResNetLayer(nn::Module* parent, std::string name, const nn::Context& context,
                         const ResNetConfig& config, const Options& options)
    : Module(parent, std::move(name)),
      shortcut(options.in != options.out || options.stride != 1
                   ? std::optional<ConvLayer>(
                         std::in_place, this, "shortcut", context, options.in, options.out,
                         ConvLayer::Options{
                             .kernel = 1, .stride = options.stride, .activation = UnaryOp::identity})
                   : std::optional<ConvLayer>()),
      layer(this, "layer") {
  // Inner activations are ReLU whatever hidden_act says; only the one after the addition follows it.
  using Conv = ConvLayer::Options;
  const UnaryOp last = config.hidden_act;
  if (config.bottleneck) {
    const std::int64_t inner = options.out / 4;
    const int first_stride = options.stride_in_first ? options.stride : 1;
    layer.add(context, options.in, inner, Conv{.kernel = 1, .stride = first_stride});
    layer.add(context, inner, inner, Conv{.kernel = 3, .stride = options.stride / first_stride});
    layer.add(context, inner, options.out, Conv{.kernel = 1, .stride = 1, .activation = last});
  } else {
    layer.add(context, options.in, options.out, Conv{.kernel = 3, .stride = options.stride});
    layer.add(context, options.out, options.out, Conv{.kernel = 3, .stride = 1, .activation = last});
  }
}

autograd::Variable ResNetLayer::operator()(const autograd::Variable& x) {
  const autograd::Variable residual = shortcut ? (*shortcut)(x) : x;
  autograd::Variable h = x;
  for (std::size_t i = 0; i + 1 < layer.size(); ++i) h = layer[i](h);
  return layer[layer.size() - 1](h, residual);
}

ResNetStage::ResNetStage(nn::Module* parent, std::string name, const nn::Context& context,
                         const ResNetConfig& config, std::size_t index)
    : Module(parent, std::move(name)), layers(this, "layers") {
  const std::int64_t in = index == 0 ? config.embedding_size : config.hidden_sizes[index - 1];
  const std::int64_t out = config.hidden_sizes[index];
  const int stride = index > 0 || config.downsample_in_first_stage ? 2 : 1;
  using Layer = ResNetLayer::Options;
  layers.add(
      context, config,
      Layer{.in = in, .out = out, .stride = stride, .stride_in_first = config.downsample_in_bottleneck});
  for (std::int64_t i = 1; i < config.depths[index]; ++i)
    layers.add(context, config, Layer{.in = out, .out = out});
}

autograd::Variable ResNetStage::operator()(const autograd::Variable& x) {
  autograd::Variable h = x;
  for (ResNetLayer& layer : layers) h = layer(h);
  return h;
}

ResNet::ResNet(const ModelConfig& config, const nn::Context& context)
    : ImageClassifier(config),
      embedder(this, "resnet.embedder.embedder", context, config.resnet()->num_channels,
               config.resnet()->embedding_size,
               {.kernel = kStemKernel, .stride = 2, .activation = config.resnet()->hidden_act}),
      stages(this, "resnet.encoder.stages"),
      classifier(this, "classifier.1", context, config.feature_width(), config.num_labels()) {
  for (std::size_t i = 0; i < config.resnet()->depths.size(); ++i) stages.add(context, *config.resnet(), i);
}

std::vector<nn::Module*> ResNet::blocks() {
  std::vector<nn::Module*> all{&embedder};
  for (ResNetStage& stage : stages)
    for (ResNetLayer& layer : stage.layers) all.push_back(&layer);
  return all;
}

autograd::Variable ResNet::features(const autograd::Variable& pixels) {
  require_pixels(pixels, config().resnet()->num_channels);
  autograd::Variable h = autograd::max_pool(embedder(pixels), {.kernel = 3, .stride = 2, .padding = 1});
  for (ResNetStage& stage : stages) h = stage(h);
  return h;
}

autograd::Variable ResNet::classify(const autograd::Variable& features) {
  return classifier(autograd::global_avg_pool(features));
}

autograd::Variable ResNet::logits(const autograd::Variable& pixels) { return classify(features(pixels)); }

}  // namespace sagitta::models
