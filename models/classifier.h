// ImageClassifier: a model that turns images into one logit per label; what the programs in apps/ work with.
// The one virtual call above the layers: ResNet and ViT differ behind it and nowhere else.
#pragma once
#include <memory>

#include "autograd/variable.h"
#include "models/config.h"
#include "nn/context.h"
#include "nn/module.h"

namespace sagitta::models {

class ImageClassifier : public nn::Module {
 public:
  explicit ImageClassifier(ModelConfig config) : config_(std::move(config)) { validate(config_); }

  // pixels [N,H,W,C], normalized, of the context's dtype -> [N, labels] of the same
  virtual autograd::Variable logits(const autograd::Variable& pixels) = 0;

  const ModelConfig& config() const { return config_; }
  nn::Module& module() { return *this; }
  // Name of the parameters of the last layer, without ".weight" and ".bias".
  virtual std::string head_name() const = 0;
  // What lies between the pixels and the last layer, in that order: the embedding (stem), then the residual blocks.
  // For freezing from the input on, and for learning rates that grow with depth. (The norm behind a ViT's blocks
  // goes with the last layer.)
  virtual std::vector<nn::Module*> blocks() = 0;

 protected:
  // Throws Error unless pixels are [N,H,W,channels].
  void require_pixels(const autograd::Variable& pixels, std::int64_t channels) const;

 private:
  ModelConfig config_;
};

struct ClassifierOptions {
  bool recompute = false;  // ViT: run each block again in backward instead of keeping its activations
};

// The model of a config, with uninitialized (zero) parameters; nn::initialize or a checkpoint fills them.
std::unique_ptr<ImageClassifier> make_classifier(const ModelConfig& config, nn::Context& context,
                                                 const ClassifierOptions& options = {});

}  // namespace sagitta::models
