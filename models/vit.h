// ViT (Dosovitskiy et al., "An image is worth 16x16 words", 2020) as transformers builds it.
// Modules carry the checkpoints' ("legacy") names: vit.encoder.layer.0.attention.attention.query.weight.
// Blocks are pre-norm; each norm is fused with the addition in front of it.
#pragma once
#include "models/classifier.h"
#include "nn/attention.h"
#include "nn/conv2d.h"
#include "nn/dropout.h"
#include "nn/layer_norm.h"
#include "nn/linear.h"

namespace sagitta::models {

// The residual stream between two norms: its value is sum + branch, added when the next norm reads it.
struct ResidualStream {
  autograd::Variable sum;     // [B,T,D]
  autograd::Variable branch;  // [B,T,D], or absent
  // Adds the branch; returns the normalized stream.
  autograd::Variable normalize(const nn::LayerNorm& norm);
};

// Patches to tokens: a convolution with stride = patch, the class token in front, position embeddings added.
class ViTEmbeddings : public nn::Module {
 public:
  ViTEmbeddings(nn::Module* parent, std::string name, nn::Context& context, const ModelConfig& config);

  // pixels [N,H,W,C] -> [N, 1 + floor(H/P)*floor(W/P), D]. For another size than the config's the position
  // embeddings are resampled (bicubic, as transformers' interpolate_pos_encoding).
  autograd::Variable operator()(const autograd::Variable& pixels);

  nn::Parameter cls_token;            // [1,1,D]
  nn::Parameter position_embeddings;  // [1,1+T,D]
  nn::Conv2d projection;

 private:
  nn::Dropout dropout_;
  std::int64_t grid_;  // patches per side at the config's image size
};

// Attention and MLP with their norms in front.
class ViTLayer : public nn::Module {
 public:
  ViTLayer(nn::Module* parent, std::string name, nn::Context& context, const ViTConfig& config);

  ResidualStream operator()(ResidualStream stream);

  nn::SelfAttention attention;
  nn::Linear attention_output;
  nn::Linear intermediate;
  nn::Linear output;
  nn::LayerNorm layernorm_before, layernorm_after;

 private:
  nn::Dropout attention_dropout_, output_dropout_;
};

class ViT final : public ImageClassifier {
 public:
  // `config` must hold a ViTConfig.
  ViT(const ModelConfig& config, nn::Context& context, bool recompute = false);

  autograd::Variable logits(const autograd::Variable& pixels) override;
  std::string head_name() const override { return "classifier"; }
  std::vector<nn::Module*> blocks() override;

  ViTEmbeddings embeddings;
  nn::ModuleList<ViTLayer> layers;
  nn::LayerNorm layernorm;
  nn::Linear classifier;

 private:
  bool recompute_;
};

}  // namespace sagitta::models
