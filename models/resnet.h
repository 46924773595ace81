// ResNet (He et al., "Deep residual learning for image recognition", 2015) as transformers builds it.
// The modules are nested and named as in the checkpoints
// (resnet.encoder.stages.0.layers.0.layer.1.convolution.weight), so importing one is a lookup. Everything
// that follows a convolution - batch norm, residual, ReLU - is one fused op.
#pragma once
#include <optional>

#include "models/classifier.h"
#include "nn/batch_norm.h"
#include "nn/conv2d.h"
#include "nn/linear.h"

namespace sagitta::models {

// activation(batch_norm(conv(x)) + residual); "same" padding, no bias.
class ConvLayer : public nn::Module {
 public:
  struct Options {
    int kernel = 3;
    int stride = 1;
    UnaryOp activation = UnaryOp::relu;
  };
  ConvLayer(nn::Module* parent, std::string name, const nn::Context& context, std::int64_t in,
            std::int64_t out, const Options& options);

  // x [N,H,W,in]; residual [N,OH,OW,out] or absent -> [N,OH,OW,out]
  autograd::Variable operator()(const autograd::Variable& x, const autograd::Variable& residual = {});

  nn::Conv2d convolution;
  nn::BatchNorm normalization;

 private:
  UnaryOp activation_;
};

// Two 3x3 convolutions (basic) or 1x1, 3x3, 1x1 (bottleneck) around which the input is added.
class ResNetLayer : public nn::Module {
 public:
  struct Options {
    std::int64_t in = 0, out = 0;
    int stride = 1;
    bool stride_in_first = false;  // bottleneck: the stride on the first 1x1 convolution
  };
  ResNetLayer(nn::Module* parent, std::string name, const nn::Context& context, const ResNetConfig& config,
              const Options& options);

  autograd::Variable operator()(const autograd::Variable& x);

  std::optional<ConvLayer> shortcut;  // where the shape changes
  nn::ModuleList<ConvLayer> layer;
};

// Layers of one resolution.
class ResNetStage : public nn::Module {
 public:
  ResNetStage(nn::Module* parent, std::string name, const nn::Context& context, const ResNetConfig& config,
              std::size_t index);

  autograd::Variable operator()(const autograd::Variable& x);

  nn::ModuleList<ResNetLayer> layers;
};

class ResNet final : public ImageClassifier {
 public:
  // `config` must hold a ResNetConfig.
  ResNet(const ModelConfig& config, const nn::Context& context);

  autograd::Variable logits(const autograd::Variable& pixels) override;
  std::string head_name() const override { return "classifier.1"; }
  std::vector<nn::Module*> blocks() override;
  // The last stage's output [N,H/32,W/32,C]; classify() pools it and applies the last layer.
  autograd::Variable features(const autograd::Variable& pixels);
  autograd::Variable classify(const autograd::Variable& features);

  ConvLayer embedder;
  nn::ModuleList<ResNetStage> stages;
  nn::Linear classifier;
};

}  // namespace sagitta::models
