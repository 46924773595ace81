// config.json: reading, with every field checked, and writing.
#include <array>
#include <utility>

#include "models/config.h"
#include "models/json_file.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::models {
namespace {

using Range = JsonFile::Range;
// Bounds that keep every product of sizes far below 2^63; real models stay far below them.
constexpr Range kWidth{1, 65536};
constexpr Range kDepth{1, 1000};

// transformers' names; the first one of an op is the one written.
constexpr std::array<std::pair<std::string_view, UnaryOp>, 11> kActivations = {{
    {"relu", UnaryOp::relu},
    {"gelu", UnaryOp::gelu},
    {"gelu_pytorch_tanh", UnaryOp::gelu_tanh},
    {"gelu_new", UnaryOp::gelu_tanh},
    {"gelu_fast", UnaryOp::gelu_tanh},
    {"quick_gelu", UnaryOp::quick_gelu},
    {"silu", UnaryOp::silu},
    {"swish", UnaryOp::silu},
    {"sigmoid", UnaryOp::sigmoid},
    {"tanh", UnaryOp::tanh},
    {"linear", UnaryOp::identity},
}};

constexpr std::array<std::string_view, 4> kProblemTypes = {"", "regression", "single_label_classification",
                                                           "multi_label_classification"};

UnaryOp read_activation(const JsonFile& file, const std::string& fallback) {
  const std::string name = file.text("hidden_act", fallback);
  std::string known;
  for (const auto& [known_name, op] : kActivations) {
    if (name == known_name) return op;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", known_name);
  }
  file.reject("hidden_act", "one of " + known);
}

std::string activation_name(UnaryOp op) {
  for (const auto& [name, known] : kActivations)
    if (known == op) return std::string(name);
  fail("config: activation {} has no name in transformers", static_cast<int>(op));
}

ProblemType read_problem_type(const JsonFile& file) {
  const std::string name = file.text("problem_type", "");
  for (std::size_t i = 0; i < kProblemTypes.size(); ++i)
    if (name == kProblemTypes[i]) return static_cast<ProblemType>(i);
  file.reject("problem_type", "null, regression, single_label_classification or multi_label_classification");
}

std::vector<std::string> read_labels(const JsonFile& file) {
  const nlohmann::json* id2label = file.find("id2label");
  if (!id2label) return default_labels(file.integer("num_labels", 2, {1, 1'000'000}));
  if (!id2label->is_object() || id2label->empty())
    file.reject("id2label", "an object with a name for each output");
  std::vector<std::string> labels;
  for (std::size_t i = 0; i < id2label->size(); ++i) {
    const auto found = id2label->find(std::to_string(i));
    if (found == id2label->end() || !found->is_string())
      file.reject("id2label", fmt::format("names for the outputs 0 to {}", id2label->size() - 1));
    labels.push_back(found->get<std::string>());
  }
  return labels;
}

void read_into(ResNetConfig& config, const JsonFile& file) {
  const std::string layer_type = file.text("layer_type", "bottleneck");
  if (layer_type != "bottleneck" && layer_type != "basic") file.reject("layer_type", "bottleneck or basic");
  config.num_channels = file.integer("num_channels", config.num_channels, kWidth);
  config.embedding_size = file.integer("embedding_size", config.embedding_size, kWidth);
  config.hidden_sizes = file.integers("hidden_sizes", config.hidden_sizes, kWidth);
  config.depths = file.integers("depths", config.depths, kDepth);
  config.bottleneck = layer_type == "bottleneck";
  config.hidden_act = read_activation(file, "relu");
  config.downsample_in_first_stage = file.boolean("downsample_in_first_stage", false);
  config.downsample_in_bottleneck = file.boolean("downsample_in_bottleneck", false);
}

void read_into(ViTConfig& config, const JsonFile& file) {
  constexpr double kBelowOne = 0.999;
  config.hidden_size = file.integer("hidden_size", config.hidden_size, kWidth);
  config.num_hidden_layers = file.integer("num_hidden_layers", config.num_hidden_layers, kDepth);
  config.num_attention_heads = file.integer("num_attention_heads", config.num_attention_heads, kWidth);
  config.intermediate_size = file.integer("intermediate_size", config.intermediate_size, kWidth);
  config.hidden_act = read_activation(file, "gelu");
  config.hidden_dropout_prob = file.number("hidden_dropout_prob", 0, 0, kBelowOne);
  config.attention_probs_dropout_prob = file.number("attention_probs_dropout_prob", 0, 0, kBelowOne);
  config.initializer_range = file.number("initializer_range", config.initializer_range, 0, 1000);
  config.layer_norm_eps = file.number("layer_norm_eps", config.layer_norm_eps, 0, 1);
  config.patch_size = file.square("patch_size", config.patch_size, {1, 4096});
  config.num_channels = file.integer("num_channels", config.num_channels, kWidth);
  config.qkv_bias = file.boolean("qkv_bias", true);
}

nlohmann::json fields_of(const ResNetConfig& config) {
  return {{"model_type", "resnet"},
          {"architectures", {"ResNetForImageClassification"}},
          {"num_channels", config.num_channels},
          {"embedding_size", config.embedding_size},
          {"hidden_sizes", config.hidden_sizes},
          {"depths", config.depths},
          {"layer_type", config.bottleneck ? "bottleneck" : "basic"},
          {"hidden_act", activation_name(config.hidden_act)},
          {"downsample_in_first_stage", config.downsample_in_first_stage},
          {"downsample_in_bottleneck", config.downsample_in_bottleneck}};
}

nlohmann::json fields_of(const ViTConfig& config, std::int64_t image_size) {
  return {{"model_type", "vit"},
          {"architectures", {"ViTForImageClassification"}},
          {"hidden_size", config.hidden_size},
          {"num_hidden_layers", config.num_hidden_layers},
          {"num_attention_heads", config.num_attention_heads},
          {"intermediate_size", config.intermediate_size},
          {"hidden_act", activation_name(config.hidden_act)},
          {"hidden_dropout_prob", config.hidden_dropout_prob},
          {"attention_probs_dropout_prob", config.attention_probs_dropout_prob},
          {"initializer_range", config.initializer_range},
          {"layer_norm_eps", config.layer_norm_eps},
          {"image_size", image_size},
          {"patch_size", config.patch_size},
          {"num_channels", config.num_channels},
          {"qkv_bias", config.qkv_bias},
          {"encoder_stride", config.patch_size}};
}

nlohmann::json to_json(const ModelConfig& config) {
  nlohmann::json object =
      config.resnet() ? fields_of(*config.resnet()) : fields_of(*config.vit(), config.image_size);
  for (std::size_t i = 0; i < config.labels.size(); ++i) {
    object["id2label"][std::to_string(i)] = config.labels[i];
    object["label2id"][config.labels[i]] = i;
  }
  object["dtype"] = "float32";
  if (config.problem_type != ProblemType::unspecified)
    object["problem_type"] = kProblemTypes[static_cast<std::size_t>(config.problem_type)];
  return object;
}

}  // namespace

ModelConfig read_config(const std::filesystem::path& path) {
  const JsonFile file = JsonFile::load(path);
  const std::string model_type = file.text("model_type", "");
  if (model_type != "resnet" && model_type != "vit") file.reject("model_type", "resnet or vit");
  ModelConfig config;
  if (model_type == "resnet")
    read_into(config.architecture.emplace<ResNetConfig>(), file);
  else
    read_into(config.architecture.emplace<ViTConfig>(), file);
  if (config.vit()) config.image_size = file.square("image_size", config.image_size, {1, 65536});
  config.labels = read_labels(file);
  config.problem_type = read_problem_type(file);
  try {
    validate(config);
  } catch (const Error& error) {
    fail("{}: {}", path.string(), error.what());
  }
  return config;
}

std::string config_text(const ModelConfig& config) { return json_text(to_json(config)); }

void write_config(const std::filesystem::path& path, const ModelConfig& config) {
  write_text_file(path, config_text(config));
}

}  // namespace sagitta::models
