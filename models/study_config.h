// StudyConfig: what a study model is, as its config.json says it - sizes, labels, and which slice models its
// features come from. The format is this project's own ("architecture": "sagitta-study"), in the manner of
// Hugging Face: config.json beside model.safetensors.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "models/config.h"

namespace sagitta::models {

// A slice model whose features a study model was trained on.
struct SliceModelReference {
  std::string directory;    // where it was
  std::string fingerprint;  // what it was; features of any other model mean nothing to the study model

  bool operator==(const SliceModelReference&) const = default;
};

struct StudyConfig {
  std::int64_t planes = 0;                // slices of a study, right to left
  std::int64_t embedding_width = 0;       // of the slice models
  std::vector<std::string> slice_labels;  // of the slice models' logits
  std::vector<SliceModelReference> slice_models;
  std::vector<std::string> labels;  // of the study; one output each
  std::int64_t members = 1;         // transformers, whose logits are averaged
  std::int64_t hidden_size = 64;
  std::int64_t num_hidden_layers = 1;
  std::int64_t num_attention_heads = 8;
  std::int64_t intermediate_size = 128;
  double hidden_dropout_prob = 0;   // of hidden layers and attention
  double feature_dropout_prob = 0;  // of the features
  double initializer_range = 0.1;
  double layer_norm_eps = 1e-5;

  // What one slice model says of a slice: its embedding, then its logits.
  std::int64_t slice_features() const {
    return embedding_width + static_cast<std::int64_t>(slice_labels.size());
  }
  // What a token is made of: a block of features for every slice model.
  std::int64_t feature_width() const {
    return static_cast<std::int64_t>(slice_models.size()) * slice_features();
  }
  std::int64_t num_labels() const { return static_cast<std::int64_t>(labels.size()); }
  // The transformer's blocks are those of a ViT.
  ViTConfig block() const;
  bool operator==(const StudyConfig&) const = default;
};

// Throws Error when sizes contradict each other.
void validate(const StudyConfig& config);

// Whether config.json says that the directory holds a study model, be it sound or not. Throws Error when the
// file is no JSON.
bool holds_study_model(const std::filesystem::path& directory);

// Throws Error, naming the file and field, for another architecture or a value out of range.
StudyConfig read_study_config(const std::filesystem::path& path);
std::string config_text(const StudyConfig& config);

}  // namespace sagitta::models
