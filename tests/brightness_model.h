// A ResNet whose weights are set by hand, so that everybody knows where it looks.
#pragma once
#include <string>
#include <vector>

#include "models/resnet.h"
#include "nn/init.h"

namespace sagitta::testing {

inline void assign_all(nn::Parameter& parameter, double everywhere) {
  parameter.assign(std::vector<double>(static_cast<std::size_t>(parameter.shape().numel()), everywhere));
}

// A convolution that hands channel 0 on, times `gain`, and ignores all others.
inline void pass_channel_0(models::ConvLayer& layer, double gain) {
  const Shape& shape = layer.convolution.weight.shape();  // [O,KH,KW,I]
  std::vector<double> weight(static_cast<std::size_t>(shape.numel()));
  const std::int64_t center = (shape[1] / 2 * shape[2] + shape[2] / 2) * shape[3];
  weight[static_cast<std::size_t>(center)] = gain;
  layer.convolution.weight.assign(weight);
}

// A ResNet that measures the brightness of each place in channel 0 of its features: label 0 is for bright
// pictures, label 1 for dark ones.
struct BrightnessModel {
  explicit BrightnessModel(const std::vector<std::string>& labels = models::default_labels(2))
      : context(cpu_backend()), model(config(labels), context) {
    nn::initialize(model, 1);  // also gives the statistics of the norms: mean 0, variance 1
    for (const nn::NamedParameter& named : model.named_parameters())
      assign_all(*named.parameter, named.name.ends_with("normalization.weight") ? 1 : 0);
    pass_channel_0(model.embedder, 1);
    for (models::ResNetLayer& layer : model.stages[0].layers)
      for (models::ConvLayer& conv : layer.layer) pass_channel_0(conv, 1);
    model.classifier.weight.assign({1, 0, 0, 0, -1, 0, 0, 0});
  }
  static models::ModelConfig config(const std::vector<std::string>& labels) {
    models::ResNetConfig resnet;
    resnet.embedding_size = 4;
    resnet.hidden_sizes = {4};
    resnet.depths = {1};
    resnet.bottleneck = false;
    return {.architecture = resnet, .labels = labels};
  }
  nn::Context context;
  models::ResNet model;
};

}  // namespace sagitta::testing
