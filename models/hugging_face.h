// Import and export of Hugging Face models: a directory with config.json, model.safetensors (or shards with
// their index) and preprocessor_config.json, or a weights file with a config.json beside it. The modules are
// named as the files, so only spellings are translated here: new ViT names (transformers >= 5.9), base-model
// files without prefix, and torchvision's and timm's ResNet names.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "models/classifier.h"
#include "models/preprocessor.h"
#include "tensor/safetensors.h"

namespace sagitta::models {

// The files of a checkpoint: one, or the shards of an index, checked against it.
// `source` is a directory, a .safetensors file, or a model.safetensors.index.json.
std::vector<safetensors::File> open_checkpoint(const std::filesystem::path& source);

// The config.json of a directory, or beside a weights file, checked against the size of the weights, so that
// building the model allocates no more than the files justify.
ModelConfig read_model_config(const std::filesystem::path& source);

// What load_weights may do when the checkpoint and the model differ. Otherwise every difference is an error.
struct WeightOptions {
  bool new_head = false;  // another number of labels, or no classifier in the file: keep the model's own
  bool resize_positions = false;  // another image size: resample the position embeddings
  bool adopt = false;             // let parameters lie in the mapped file (nn::LoadRules)
};

// Fills the model. Returns what was done beyond copying, as sentences for the user.
std::vector<std::string> load_weights(ImageClassifier& model, const std::filesystem::path& source,
                                      const WeightOptions& options = {});

// read_model_config, make_classifier and a strict load_weights. On a CPU the weights stay in the mapped file,
// which is read where and when the model first uses it; replace such a file by renaming (as export_model
// does), not by overwriting it.
std::unique_ptr<ImageClassifier> import_model(const std::filesystem::path& source, nn::Context& context);

// Writes config.json, preprocessor_config.json and model.safetensors, which transformers loads without a
// warning. Creates the directory. Each file is replaced atomically, and config.json is absent while it would
// not fit the weights, so a crash at any moment leaves a complete model or one that does not load.
void export_model(const ImageClassifier& model, const Preprocessor& preprocessor,
                  const std::filesystem::path& directory);

}  // namespace sagitta::models
