#include "models/classifier.h"

#include "models/resnet.h"
#include "models/vit.h"
#include "tensor/error.h"

namespace sagitta::models {

void ImageClassifier::require_pixels(const autograd::Variable& pixels, std::int64_t channels) const {
  require(pixels.shape().rank() == 4 && pixels.shape().back() == channels,
          "model: pixels are {}, expected [N, H, W, {}]", pixels.shape(), channels);
}

std::unique_ptr<ImageClassifier> make_classifier(const ModelConfig& config, nn::Context& context,
                                                 const ClassifierOptions& options) {
  if (config.resnet()) return std::make_unique<ResNet>(config, context);
  return std::make_unique<ViT>(config, context, options.recompute);
}

}  // namespace sagitta::models
