// StudyModel: small transformers over the slices of a study. Tokens are what slice models say of the slices,
// right to left, each with a position learned for its plane; the class token's final vector is classified. In
// the book it stands on top of the ViT, whose blocks it is made of, and of the slice models, which it does
// not train. Several transformers that differ in their first values and dropout only are averaged
// (Lakshminarayanan et al. 2017): studies are few, and one transformer of them varies. Invariant: config.json
// alone decides the shapes.
#pragma once
#include <filesystem>
#include <memory>
#include <vector>

#include "models/study_config.h"
#include "models/vit.h"

namespace sagitta::models {

// One transformer.
class StudyTransformer : public nn::Module {
 public:
  StudyTransformer(nn::Module* parent, std::string name, nn::Context& context, const StudyConfig& config);

  // features [B,T,F] -> logits [B, labels], to be added to the slices'
  autograd::Variable operator()(const autograd::Variable& features);

  nn::Linear projection;              // F -> D
  nn::Parameter cls_token;            // [1,1,D]
  nn::Parameter position_embeddings;  // [1,1+T,D]
  nn::ModuleList<ViTLayer> layers;
  nn::LayerNorm layernorm;
  nn::Linear classifier;

 private:
  nn::Dropout feature_dropout_;
};

class StudyModel : public nn::Module {
 public:
  // Throws Error unless the config is valid.
  StudyModel(const StudyConfig& config, nn::Context& context);

  // features [B,T,F], slice_logits [B, labels] -> logits [B, labels]: T = config().planes slices in order of
  // x, F = config().feature_width(). A token holds the features of one slice model, standardized with
  // feature_mean and feature_std, in that model's block, and zeros in the others'. slice_logits are the mean
  // over the slices of what the slice model says of these labels: the model learns what to add to it.
  autograd::Variable operator()(const autograd::Variable& features, const autograd::Variable& slice_logits);
  // The logits of each member, whose mean the above is: for training, where each has a loss of its own.
  std::vector<autograd::Variable> member_logits(const autograd::Variable& features,
                                                const autograd::Variable& slice_logits);

  const StudyConfig& config() const { return config_; }

 private:
  StudyConfig config_;

 public:
  nn::ModuleList<StudyTransformer> members;
  nn::Buffer feature_mean, feature_std;  // [slice models, features of a slice], of the training studies
};

// Reads a directory with config.json and model.safetensors. Strict: throws Error naming the file and all
// tensors that are missing, unexpected or misshapen.
std::unique_ptr<StudyModel> import_study_model(const std::filesystem::path& directory, nn::Context& context);
void load_weights(StudyModel& model, const std::filesystem::path& directory);

// Writes both files. Creates the directory. Each file is replaced atomically.
void export_study_model(const StudyModel& model, const std::filesystem::path& directory);

}  // namespace sagitta::models
