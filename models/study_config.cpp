#include "models/study_config.h"

#include "models/json_file.h"
#include "tensor/error.h"

namespace sagitta::models {
namespace {

constexpr const char* kArchitecture = "sagitta-study";
constexpr std::size_t kMostNames = 1000;
constexpr double kBelowOne = 0.999;

const nlohmann::json& list(const JsonFile& file, const std::string& key, const std::string& expected) {
  const nlohmann::json* value = file.find(key);
  if (!value || !value->is_array() || value->empty() || value->size() > kMostNames)
    file.reject(key, expected);
  return *value;
}

std::vector<std::string> read_names(const JsonFile& file, const std::string& key) {
  std::vector<std::string> names;
  for (const nlohmann::json& name : list(file, key, "a list of names")) {
    if (!name.is_string()) file.reject(key, "a list of names");
    names.push_back(name.get<std::string>());
  }
  return names;
}

std::vector<SliceModelReference> read_slice_models(const JsonFile& file) {
  const std::string key = "slice_models", expected = "a list of objects with directory and fingerprint";
  std::vector<SliceModelReference> references;
  for (const nlohmann::json& model : list(file, key, expected)) {
    const auto text = [&](const char* field) {
      if (!model.is_object() || !model.contains(field) || !model.at(field).is_string())
        file.reject(key, expected);
      return model.at(field).get<std::string>();
    };
    references.push_back({text("directory"), text("fingerprint")});
  }
  return references;
}

}  // namespace

ViTConfig StudyConfig::block() const {
  return {.hidden_size = hidden_size,
          .num_hidden_layers = num_hidden_layers,
          .num_attention_heads = num_attention_heads,
          .intermediate_size = intermediate_size,
          .hidden_dropout_prob = hidden_dropout_prob,
          .attention_probs_dropout_prob = hidden_dropout_prob,
          .initializer_range = initializer_range,
          .layer_norm_eps = layer_norm_eps};
}

void validate(const StudyConfig& config) {
  require(config.planes >= 1 && config.embedding_width >= 1,
          "study model: {} planes and embeddings of width {}, expected at least 1", config.planes,
          config.embedding_width);
  require(!config.labels.empty() && !config.slice_labels.empty() && !config.slice_models.empty(),
          "study model: {} labels, {} slice labels and {} slice models, expected at least 1",
          config.labels.size(), config.slice_labels.size(), config.slice_models.size());
  require(config.members >= 1, "study model: {} members, expected at least 1", config.members);
  require(config.num_attention_heads >= 1 && config.hidden_size % config.num_attention_heads == 0,
          "study model: hidden_size {} is not a multiple of num_attention_heads {}", config.hidden_size,
          config.num_attention_heads);
}

bool holds_study_model(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "config.json";
  if (!std::filesystem::exists(path)) return false;
  const JsonFile file = JsonFile::load(path);
  const nlohmann::json* architecture = file.find("architecture");
  return architecture && *architecture == kArchitecture;
}

StudyConfig read_study_config(const std::filesystem::path& path) {
  const JsonFile file = JsonFile::load(path);
  if (file.text("architecture", "") != kArchitecture) file.reject("architecture", kArchitecture);
  StudyConfig config;
  config.planes = file.integer("planes", 0, {1, 4096});
  config.embedding_width = file.integer("embedding_width", 0, {1, 65536});
  config.slice_labels = read_names(file, "slice_labels");
  config.slice_models = read_slice_models(file);
  config.labels = read_names(file, "labels");
  config.members = file.integer("members", config.members, {1, 1000});
  config.hidden_size = file.integer("hidden_size", config.hidden_size, {1, 65536});
  config.num_hidden_layers = file.integer("num_hidden_layers", config.num_hidden_layers, {0, 1000});
  config.num_attention_heads = file.integer("num_attention_heads", config.num_attention_heads, {1, 65536});
  config.intermediate_size = file.integer("intermediate_size", config.intermediate_size, {1, 65536});
  config.hidden_dropout_prob = file.number("hidden_dropout_prob", 0, 0, kBelowOne);
  config.feature_dropout_prob = file.number("feature_dropout_prob", 0, 0, kBelowOne);
  config.initializer_range = file.number("initializer_range", config.initializer_range, 0, 100);
  config.layer_norm_eps = file.number("layer_norm_eps", config.layer_norm_eps, 0, 1);
  try {
    validate(config);
  } catch (const Error& error) {
    fail("{}: {}", path.string(), error.what());
  }
  return config;
}

std::string config_text(const StudyConfig& config) {
  nlohmann::json models = nlohmann::json::array();
  for (const SliceModelReference& model : config.slice_models)
    models.push_back({{"directory", model.directory}, {"fingerprint", model.fingerprint}});
  return json_text({{"architecture", kArchitecture},
                    {"planes", config.planes},
                    {"embedding_width", config.embedding_width},
                    {"slice_labels", config.slice_labels},
                    {"slice_models", models},
                    {"labels", config.labels},
                    {"members", config.members},
                    {"hidden_size", config.hidden_size},
                    {"num_hidden_layers", config.num_hidden_layers},
                    {"num_attention_heads", config.num_attention_heads},
                    {"intermediate_size", config.intermediate_size},
                    {"hidden_dropout_prob", config.hidden_dropout_prob},
                    {"feature_dropout_prob", config.feature_dropout_prob},
                    {"initializer_range", config.initializer_range},
                    {"layer_norm_eps", config.layer_norm_eps}});
}

}  // namespace sagitta::models
