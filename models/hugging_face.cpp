#include "models/hugging_face.h"

#include <cmath>
#include <map>

#include "autograd/ops.h"
#include "models/checkpoint_names.h"
#include "models/json_file.h"
#include "models/study_config.h"
#include "nn/checkpoint.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::models {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWeights = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr const char* kConfig = "config.json";
constexpr const char* kPreprocessor = "preprocessor_config.json";
constexpr const char* kPositions = "vit.embeddings.position_embeddings";

// transformers writes who made the file; tensors of the other frameworks are laid out differently.
safetensors::File open_weights(const fs::path& path) {
  safetensors::File file = safetensors::File::open(path);
  const auto format = file.metadata().find("format");
  require(format == file.metadata().end() || format->second == "pt",
          "{}: its metadata says format \"{}\", expected \"pt\" (saved from PyTorch)", path.string(),
          format == file.metadata().end() ? "" : format->second);
  return file;
}

std::vector<safetensors::File> open_shards(const fs::path& index_path) {
  const JsonFile index = JsonFile::load(index_path);
  const nlohmann::json* map = index.find("weight_map");
  if (!map || !map->is_object()) index.reject("weight_map", "an object from tensor names to files");
  std::map<std::string, safetensors::File> shards;
  std::uint64_t total = 0;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string()) index.reject("weight_map", "file names");
    const std::string name = file.get<std::string>();
    require(!name.empty() && name == fs::path(name).filename() && name != "." && name != "..",
            "{}: weight_map names the file \"{}\", expected one in the same directory", index.path(), name);
    auto shard = shards.find(name);
    if (shard == shards.end())
      shard = shards.emplace(name, open_weights(index_path.parent_path() / name)).first;
    total += shard->second.at(tensor).bytes.size();
  }
  if (const nlohmann::json* metadata = index.find("metadata"); metadata && metadata->is_object()) {
    const auto size = metadata->find("total_size");
    require(
        size == metadata->end() || (size->is_number() && size->get<double>() == static_cast<double>(total)),
        "{}: total_size is {}, but the tensors have {} bytes", index.path(),
        size == metadata->end() ? "" : size->dump(), total);
  }
  std::vector<safetensors::File> files;
  for (auto& [name, file] : shards) files.push_back(file);
  return files;
}

fs::path directory_of(const fs::path& source) {
  return fs::is_directory(source) ? source : fs::absolute(source).parent_path();
}

// The entry of the checkpoint that becomes the module tensor `name`, or null.
const safetensors::Entry* find_entry(const std::vector<safetensors::File>& files, const ModelConfig& config,
                                     const std::string& name) {
  for (const safetensors::File& file : files)
    for (const safetensors::Entry& entry : file.entries())
      if (module_name_of(config, entry.name) == name) return &entry;
  return nullptr;
}

// Whether the classifier stays as it is; says so in `notes`.
bool replaces_head(const ImageClassifier& model, const std::vector<safetensors::File>& files,
                   std::vector<std::string>& notes) {
  const safetensors::Entry* head = find_entry(files, model.config(), model.head_name() + ".weight");
  const std::int64_t labels = model.config().num_labels();
  if (head && !head->shape.empty() && head->shape[0] == labels) return false;
  notes.push_back(
      head && !head->shape.empty()
          ? fmt::format("classifier: the checkpoint has {} labels, this model {}; starting with a new one",
                        head->shape[0], labels)
          : fmt::format("classifier: the checkpoint has none; starting with a new one for {} labels",
                        labels));
  return true;
}

// The entry of position embeddings made for another image size than the model's; null when they fit, or when
// they are wrong in another way, which is left to the strict load to report.
const safetensors::Entry* other_positions(const ImageClassifier& model,
                                          const std::vector<safetensors::File>& files) {
  const ViTConfig* vit = model.config().vit();
  const safetensors::Entry* entry = vit ? find_entry(files, model.config(), kPositions) : nullptr;
  if (!entry || entry->shape.size() != 3 || entry->shape[0] != 1 || entry->shape[2] != vit->hidden_size)
    return nullptr;
  const std::int64_t grid = model.config().image_size / vit->patch_size, count = entry->shape[1] - 1;
  const auto side = static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(count))));
  return count >= 1 && side * side == count && side != grid ? entry : nullptr;
}

void resample_positions(ImageClassifier& model, const safetensors::Entry& entry,
                        std::vector<std::string>& notes) {
  const std::int64_t patch = model.config().vit()->patch_size, grid = model.config().image_size / patch;
  for (nn::FileTensor& tensor : nn::file_tensors(model)) {
    if (tensor.name != kPositions) continue;
    Backend& backend = tensor.memory.backend();
    const autograd::Variable stored(safetensors::read(entry, backend, tensor.memory.dtype()));
    backend.convert(autograd::interpolate_positions(stored, grid, grid).value(), tensor.memory);
  }
  nn::refresh_copies(model);
  const auto side =
      static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(entry.shape[1] - 1))));
  notes.push_back(
      fmt::format("position embeddings: resampled from {0}x{0} to {1}x{1} patches (image size {2} -> {3})",
                  side, grid, side * patch, model.config().image_size));
}

}  // namespace

std::vector<safetensors::File> open_checkpoint(const fs::path& source) {
  require(fs::exists(source), "{}: no such file or directory", source.string());
  if (!fs::is_directory(source)) {
    if (source.extension() == ".json") return open_shards(source);
    return {open_weights(source)};
  }
  if (fs::exists(source / kWeights)) return {open_weights(source / kWeights)};
  if (fs::exists(source / kIndex)) return open_shards(source / kIndex);
  fail("{}: holds neither {} nor {}{}", source.string(), kWeights, kIndex,
       fs::exists(source / "pytorch_model.bin") ? "; convert pytorch_model.bin with transformers first" : "");
}

ModelConfig read_model_config(const fs::path& source) {
  require(fs::exists(source), "{}: no such file or directory", source.string());
  const fs::path path = directory_of(source) / kConfig;
  require(fs::exists(path), "{}: no such file; a model is a directory with config.json and model.safetensors",
          path.string());
  require(!holds_study_model(path.parent_path()),
          "{}: is a study model, which predict takes; a model of slices is expected here", source.string());
  ModelConfig config = read_config(path);
  std::int64_t values = 0;
  for (const safetensors::File& file : open_checkpoint(source))
    for (const safetensors::Entry& entry : file.entries()) values += entry.bytes.empty() ? 0 : entry.numel();
  const std::int64_t backbone = backbone_parameters(config),
                     head = config.num_labels() * config.feature_width();
  require(backbone <= values && head <= values,
          "{}: describes a model of {} values, but the weights hold only {}", path.string(), backbone + head,
          values);
  return config;
}

std::vector<std::string> load_weights(ImageClassifier& model, const fs::path& source,
                                      const WeightOptions& options) {
  const std::vector<safetensors::File> files = open_checkpoint(source);
  std::vector<std::string> notes;
  nn::LoadRules rules{.adopt = options.adopt};
  rules.rename = [&model](const std::string& name) { return module_name_of(model.config(), name); };
  if (options.new_head && replaces_head(model, files, notes))
    rules.keep = {model.head_name() + ".weight", model.head_name() + ".bias"};
  const safetensors::Entry* positions = options.resize_positions ? other_positions(model, files) : nullptr;
  if (positions) rules.keep.insert(kPositions);
  nn::load(model, files, rules);
  if (positions) resample_positions(model, *positions, notes);
  return notes;
}

std::unique_ptr<ImageClassifier> import_model(const fs::path& source, nn::Context& context) {
  auto model = make_classifier(read_model_config(source), context);
  load_weights(*model, source, {.adopt = true});
  return model;
}

void export_model(const ImageClassifier& model, const Preprocessor& preprocessor, const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  require(!error, "{}: cannot be created: {}", directory.string(), error.message());
  const fs::path config = directory / kConfig;
  // New weights under an old config would be a model that loads and is wrong.
  const std::string text = config_text(model.config());
  if (fs::exists(config) && read_text_file(config) != text) fs::remove(config);
  write_preprocessor(directory / kPreprocessor, preprocessor);
  nn::save(model, directory / kWeights);
  write_text_file(config, text);
}

}  // namespace sagitta::models
