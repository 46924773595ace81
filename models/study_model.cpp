#include "models/study_model.h"

#include "nn/checkpoint.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::models {
namespace {

namespace fs = std::filesystem;

constexpr const char *kConfig = "config.json", *kWeights = "model.safetensors";

const StudyConfig& validated(const StudyConfig& config) {
  validate(config);
  return config;
}

nn::Init weight_init(const StudyConfig& config) { return nn::Init::normal(config.initializer_range); }

nn::ParameterOptions embedding(const StudyConfig& config) {
  return {.init = weight_init(config), .role = nn::Role::embedding};
}

// Before memory is allocated for what config.json promises.
void require_justified(const StudyConfig& config, const safetensors::File& weights) {
  std::int64_t values = 0;
  for (const safetensors::Entry& entry : weights.entries()) values += entry.numel();
  const std::int64_t width = config.hidden_size;
  const bool fits = config.feature_width() <= values / width && config.planes <= values / width &&
                    config.num_hidden_layers * width <= values / width &&
                    config.num_hidden_layers * config.intermediate_size <= values / width &&
                    config.members * width <= values;
  require(fits, "{}: describes a larger model than the {} values beside it", weights.path().string(), values);
}

}  // namespace

StudyTransformer::StudyTransformer(nn::Module* parent, std::string name, nn::Context& context,
                                   const StudyConfig& config)
    : Module(parent, std::move(name)),
      projection(this, "projection", context, config.feature_width(), config.hidden_size),
      cls_token(this, "cls_token", context, {1, 1, config.hidden_size}, embedding(config)),
      position_embeddings(this, "position_embeddings", context, {1, 1 + config.planes, config.hidden_size},
                          embedding(config)),
      layers(this, "encoder.layer"),
      layernorm(this, "layernorm", context, config.hidden_size, config.layer_norm_eps),
      classifier(this, "classifier", context, config.hidden_size, config.num_labels(),
                 {.weight_init = weight_init(config), .bias_init = nn::Init::constant(0)}),
      feature_dropout_(this, "feature_dropout", context, config.feature_dropout_prob) {
  for (std::int64_t i = 0; i < config.num_hidden_layers; ++i) layers.add(context, config.block());
}

autograd::Variable StudyTransformer::operator()(const autograd::Variable& features) {
  ResidualStream stream{
      autograd::prepend_token(projection(feature_dropout_(features)), cls_token, position_embeddings), {}};
  for (ViTLayer& layer : layers) stream = layer(std::move(stream));
  return classifier(autograd::select_token(stream.normalize(layernorm), 0));
}

StudyModel::StudyModel(const StudyConfig& config, nn::Context& context)
    : config_(validated(config)),
      members(this, "member"),
      feature_mean(this, "feature_mean", context,
                   {static_cast<std::int64_t>(config.slice_models.size()), config.slice_features()},
                   DType::f32, 0),
      feature_std(this, "feature_std", context, feature_mean.value().shape(), DType::f32, 1) {
  for (std::int64_t i = 0; i < config.members; ++i) members.add(context, config_);
}

std::vector<autograd::Variable> StudyModel::member_logits(const autograd::Variable& features,
                                                          const autograd::Variable& slice_logits) {
  const Shape& shape = features.shape();
  require(shape.rank() == 3 && shape[1] == config_.planes && shape[2] == config_.feature_width(),
          "study model: features are {}, expected [B, {}, {}]", shape, config_.planes,
          config_.feature_width());
  require(slice_logits.shape() == Shape{shape[0], config_.num_labels()},
          "study model: slice logits are {}, expected [{}, {}]", slice_logits.shape(), shape[0],
          config_.num_labels());
  std::vector<autograd::Variable> logits;
  for (StudyTransformer& member : members) logits.push_back(autograd::add(member(features), slice_logits));
  return logits;
}

autograd::Variable StudyModel::operator()(const autograd::Variable& features,
                                          const autograd::Variable& slice_logits) {
  const std::vector<autograd::Variable> logits = member_logits(features, slice_logits);
  autograd::Variable sum = logits.front();
  for (std::size_t i = 1; i < logits.size(); ++i) sum = autograd::add(sum, logits[i]);
  return autograd::scale(sum, 1 / static_cast<double>(logits.size()));
}

void load_weights(StudyModel& model, const fs::path& directory) {
  nn::load(model, {safetensors::File::open(directory / kWeights)});
}

std::unique_ptr<StudyModel> import_study_model(const fs::path& directory, nn::Context& context) {
  require(fs::exists(directory / kConfig),
          "{}: no such file; a study model is a directory with config.json and model.safetensors",
          (directory / kConfig).string());
  const StudyConfig config = read_study_config(directory / kConfig);
  require_justified(config, safetensors::File::open(directory / kWeights));
  auto model = std::make_unique<StudyModel>(config, context);
  load_weights(*model, directory);
  return model;
}

void export_study_model(const StudyModel& model, const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  require(!error, "{}: cannot be created: {}", directory.string(), error.message());
  nn::save(model, directory / kWeights);
  write_text_file(directory / kConfig, config_text(model.config()));
}

}  // namespace sagitta::models
