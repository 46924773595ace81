// ModelConfig: what a model is, as Hugging Face's config.json says it.
// One struct per architecture with transformers' field names and defaults, and the classes it tells apart.
// Models are built from this alone; names such as "resnet-50" are entries of a table of configs.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tensor/elementwise.h"

namespace sagitta::models {

// transformers' ResNetConfig (He et al., 2015; the stride sits on the 3x3 convolution, "v1.5").
struct ResNetConfig {
  ResNetConfig();

  std::int64_t num_channels = 3;
  std::int64_t embedding_size = 64;
  std::vector<std::int64_t> hidden_sizes;  // 256, 512, 1024, 2048
  std::vector<std::int64_t> depths;        // 3, 4, 6, 3
  bool bottleneck = true;                  // layer_type "bottleneck", else "basic"
  UnaryOp hidden_act = UnaryOp::relu;  // of the stem and after each addition; inner layers are always ReLU
  bool downsample_in_first_stage = false;
  bool downsample_in_bottleneck = false;  // the stride on the first 1x1 convolution instead of the 3x3 one
};

// transformers' ViTConfig (Dosovitskiy et al., 2020). Images and patches are square.
struct ViTConfig {
  std::int64_t hidden_size = 768;
  std::int64_t num_hidden_layers = 12;
  std::int64_t num_attention_heads = 12;
  std::int64_t intermediate_size = 3072;
  UnaryOp hidden_act = UnaryOp::gelu;
  double hidden_dropout_prob = 0;
  double attention_probs_dropout_prob = 0;
  double initializer_range = 0.02;
  double layer_norm_eps = 1e-12;
  std::int64_t patch_size = 16;
  std::int64_t num_channels = 3;
  bool qkv_bias = true;
};

// Which loss the outputs are trained with; transformers' problem_type.
enum class ProblemType { unspecified, regression, single_label_classification, multi_label_classification };

struct ModelConfig {
  std::variant<ResNetConfig, ViTConfig> architecture;
  std::vector<std::string> labels;  // id2label; one output each, at least one
  ProblemType problem_type = ProblemType::unspecified;
  // Pixels per side. For a ViT the size its position embeddings are made for; a ResNet takes any size, and
  // config.json does not hold it.
  std::int64_t image_size = 224;

  const ResNetConfig* resnet() const { return std::get_if<ResNetConfig>(&architecture); }
  const ViTConfig* vit() const { return std::get_if<ViTConfig>(&architecture); }
  std::int64_t num_labels() const { return static_cast<std::int64_t>(labels.size()); }
  // Width of the features in front of the classifier.
  std::int64_t feature_width() const;
};

// "LABEL_0", "LABEL_1", ...
std::vector<std::string> default_labels(std::int64_t count);

// The config of a built-in name: resnet-{18,26,34,50,101,152} or
// vit-{tiny,small,base,large,huge}-patch<P>-<SIZE>, with 1000 labels. Throws Error, listing the names, for
// anything else.
ModelConfig config_for(std::string_view name);

// Throws Error when sizes contradict each other (heads that do not divide the width, no depth for a stage,
// ...).
void validate(const ModelConfig& config);

// Number of trained values of the model without its classifier. Known from the config alone, so that a file
// can be compared with what its config promises before memory is allocated.
std::int64_t backbone_parameters(const ModelConfig& config);

// Reads config.json. Throws Error, naming the file and field, for another model_type or a value not
// supported.
ModelConfig read_config(const std::filesystem::path& path);
// Writes config.json as transformers' save_pretrained does, atomically.
void write_config(const std::filesystem::path& path, const ModelConfig& config);
// What write_config writes.
std::string config_text(const ModelConfig& config);

}  // namespace sagitta::models
