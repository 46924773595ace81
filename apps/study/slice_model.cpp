#include "apps/study/slice_model.h"

#include "data/fingerprint.h"
#include "models/hugging_face.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPreprocessor = "preprocessor_config.json";

}  // namespace

std::string fingerprint_of_slice_model(const fs::path& directory) {
  const models::ModelConfig config = models::read_model_config(directory);
  const models::Preprocessor preprocessor = models::read_preprocessor(directory / kPreprocessor);
  data::Fingerprint fingerprint;
  fingerprint.add(models::config_text(config)).add(fmt::format("{}", preprocessor.size));
  for (std::size_t c = 0; c < 3; ++c)
    fingerprint.add(fmt::format(" {} {}", preprocessor.mean[c], preprocessor.std[c]));
  for (const safetensors::File& file : models::open_checkpoint(directory))
    for (const safetensors::Entry& entry : file.entries()) fingerprint.add(entry.name).add(entry.bytes);
  return fingerprint.hex();
}

StudySplit SliceModel::split() const {
  const fs::path file = directory / "split.json";
  require(fs::exists(file),
          "{}: is missing; it says which patients the slice model has seen, and train_resnet and train_vit "
          "leave it in their checkpoints",
          file.string());
  return read_split(file);
}

SliceModel open_slice_model(const fs::path& directory, nn::Context& context) {
  return open_slice_model(directory, context, fingerprint_of_slice_model(directory));
}

SliceModel open_slice_model(const fs::path& directory, nn::Context& context, std::string fingerprint) {
  SliceModel slice_model;
  slice_model.directory = directory;
  slice_model.model = models::import_model(directory, context);
  const models::Preprocessor preprocessor = models::read_preprocessor(directory / kPreprocessor);
  slice_model.input = input_options(slice_model.model->config(), preprocessor);
  slice_model.fingerprint = std::move(fingerprint);
  return slice_model;
}

std::vector<SliceModel> open_slice_models(const std::vector<std::string>& directories, nn::Context& context) {
  std::vector<SliceModel> opened;
  for (const std::string& directory : directories) {
    SliceModel next = open_slice_model(directory, context);
    for (const SliceModel& before : opened) {
      require(before.fingerprint != next.fingerprint, "--slice-model {}: is the same model as {}", directory,
              before.directory.string());
      require(
          before.input.loader.labels == next.input.loader.labels &&
              before.embedding_width() == next.embedding_width(),
          "--slice-model {}: its labels or its width of features differ from those of {}; fold models are "
          "trained with the same options",
          directory, before.directory.string());
    }
    opened.push_back(std::move(next));
  }
  return opened;
}

}  // namespace sagitta::apps
