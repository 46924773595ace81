// SliceModel: a trained slice classifier as a study model uses it - the network, how its slices are read,
// which studies it has seen, and a fingerprint by which a study model knows it again.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "apps/engine/predictions.h"
#include "apps/engine/slices.h"

namespace sagitta::apps {

struct SliceModel {
  std::filesystem::path directory;
  std::unique_ptr<models::ImageClassifier> model;
  InputOptions input;
  std::string fingerprint;  // of its weights, config and preprocessor

  std::int64_t embedding_width() const { return model->config().feature_width(); }
  // Throws Error, with the remedy, when the directory has no split.json.
  StudySplit split() const;
};

// By which a study model knows a slice model again, wherever it lies. Throws Error when the directory holds
// no model of slices.
std::string fingerprint_of_slice_model(const std::filesystem::path& directory);

// Throws Error when the directory holds no model of slices. The second one is told what
// fingerprint_of_slice_model() gave, for which all weights were read.
SliceModel open_slice_model(const std::filesystem::path& directory, nn::Context& context);
SliceModel open_slice_model(const std::filesystem::path& directory, nn::Context& context,
                            std::string fingerprint);

// Several models that give one study model its features. Throws Error unless they agree on labels, embedding
// width and architecture's kind, or when one is named twice.
std::vector<SliceModel> open_slice_models(const std::vector<std::string>& directories, nn::Context& context);

}  // namespace sagitta::apps
