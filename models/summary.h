// Summary: a model's layers, sizes and cost as a table, with torchinfo's rules and figures.
// Shapes come from a forward pass on the ShapeBackend, everything else from the module tree.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "models/classifier.h"

namespace sagitta::models {

struct LayerSummary {
  std::string name;  // "resnet.embedder.embedder.convolution"
  std::string type;  // "Conv2d"
  Shape output;      // channels first, as torchinfo prints it
  std::int64_t parameters = 0;
  std::int64_t torchinfo_multiply_adds = 0;
};

struct ModelSummary {
  std::string model;                 // transformers' class name
  Shape input;                       // [N,C,H,W]
  Shape output;                      // [N, labels]
  std::vector<LayerSummary> layers;  // those with parameters, in the order of the module tree

  std::int64_t parameters = 0;
  // torchinfo 1.8.0 counts the parameters of a layer once per image (convolutions: once per output pixel), so
  // it sees one token of a ViT and no attention.
  std::int64_t torchinfo_multiply_adds = 0;
  // Of all convolutions, matrix products and attention.
  std::int64_t multiply_adds = 0;
  std::int64_t input_bytes = 0;
  std::int64_t forward_backward_bytes =
      0;                             // outputs of layers with parameters, and as much for their gradients
  std::int64_t parameter_bytes = 0;  // of layers; torchinfo leaves out what belongs to no layer (class token)
};

// `batch` images of config.image_size (or `image_size`, when it is not 0) pixels per side.
ModelSummary summarize(const ModelConfig& config, std::int64_t batch = 1, std::int64_t image_size = 0);

// torchinfo's table.
std::string format_summary(const ModelSummary& summary);

}  // namespace sagitta::models
