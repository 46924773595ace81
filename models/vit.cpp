#include "models/vit.h"

#include "autograd/recompute.h"

namespace sagitta::models {
namespace {

nn::Init weight_init(const ViTConfig& config) { return nn::Init::normal(config.initializer_range); }

nn::LinearOptions linear_options(const ViTConfig& config, UnaryOp activation = UnaryOp::identity) {
  return {.activation = activation, .weight_init = weight_init(config), .bias_init = nn::Init::constant(0)};
}

std::int64_t grid_of(const ModelConfig& config) { return config.image_size / config.vit()->patch_size; }

}  // namespace

autograd::Variable ResidualStream::normalize(const nn::LayerNorm& norm) {
  if (!branch) return norm(sum);
  auto [total, normalized] = norm(branch, sum);
  sum = total;
  branch = {};
  return normalized;
}

ViTEmbeddings::ViTEmbeddings(nn::Module* parent, std::string name, nn::Context& context,
                             const ModelConfig& config)
    : Module(parent, std::move(name)),
      cls_token(this, "cls_token", context, {1, 1, config.vit()->hidden_size},
                {.init = weight_init(*config.vit()), .role = nn::Role::embedding}),
      position_embeddings(this, "position_embeddings", context,
                          {1, 1 + grid_of(config) * grid_of(config), config.vit()->hidden_size},
                          {.init = weight_init(*config.vit()), .role = nn::Role::embedding}),
      projection(this, "patch_embeddings.projection", context, config.vit()->num_channels,
                 config.vit()->hidden_size,
                 {.kernel = static_cast<int>(config.vit()->patch_size),
                  .stride = static_cast<int>(config.vit()->patch_size),
                  .bias = true,
                  .weight_init = weight_init(*config.vit()),
                  .bias_init = nn::Init::constant(0)}),
      dropout_(this, "dropout", context, config.vit()->hidden_dropout_prob),
      grid_(grid_of(config)) {}

autograd::Variable ViTEmbeddings::operator()(const autograd::Variable& pixels) {
  const autograd::Variable patches = projection(pixels);  // [N,H',W',D]
  const std::int64_t batch = patches.shape()[0], height = patches.shape()[1], width = patches.shape()[2];
  const bool same_grid = height == grid_ && width == grid_;
  const autograd::Variable positions =
      same_grid ? position_embeddings.variable()
                : autograd::interpolate_positions(position_embeddings, height, width);
  const autograd::Variable tokens = autograd::reshape(patches, {batch, height * width, patches.shape()[3]});
  return dropout_(autograd::prepend_token(tokens, cls_token, positions));
}

ViTLayer::ViTLayer(nn::Module* parent, std::string name, nn::Context& context, const ViTConfig& config)
    : Module(parent, std::move(name)),
      attention(this, "attention.attention", context, config.hidden_size,
                {.heads = static_cast<int>(config.num_attention_heads),
                 .qkv_bias = config.qkv_bias,
                 .dropout = config.attention_probs_dropout_prob,
                 .weight_init = weight_init(config)}),
      attention_output(this, "attention.output.dense", context, config.hidden_size, config.hidden_size,
                       linear_options(config)),
      intermediate(this, "intermediate.dense", context, config.hidden_size, config.intermediate_size,
                   linear_options(config, config.hidden_act)),
      output(this, "output.dense", context, config.intermediate_size, config.hidden_size,
             linear_options(config)),
      layernorm_before(this, "layernorm_before", context, config.hidden_size, config.layer_norm_eps),
      layernorm_after(this, "layernorm_after", context, config.hidden_size, config.layer_norm_eps),
      attention_dropout_(this, "attention.output.dropout", context, config.hidden_dropout_prob),
      output_dropout_(this, "output.dropout", context, config.hidden_dropout_prob) {}

ResidualStream ViTLayer::operator()(ResidualStream stream) {
  const autograd::Variable attended = attention(stream.normalize(layernorm_before));
  stream.branch = attention_dropout_(attention_output(attended));
  const autograd::Variable hidden = intermediate(stream.normalize(layernorm_after));
  stream.branch = output_dropout_(output(hidden));
  return stream;
}

ViT::ViT(const ModelConfig& config, nn::Context& context, bool recompute)
    : ImageClassifier(config),
      embeddings(this, "vit.embeddings", context, config),
      layers(this, "vit.encoder.layer"),
      layernorm(this, "vit.layernorm", context, config.feature_width(), config.vit()->layer_norm_eps),
      classifier(this, "classifier", context, config.feature_width(), config.num_labels(),
                 linear_options(*config.vit())),
      recompute_(recompute) {
  for (std::int64_t i = 0; i < config.vit()->num_hidden_layers; ++i) layers.add(context, *config.vit());
}

std::vector<nn::Module*> ViT::blocks() {
  std::vector<nn::Module*> all{&embeddings};
  for (ViTLayer& layer : layers) all.push_back(&layer);
  return all;
}

autograd::Variable ViT::logits(const autograd::Variable& pixels) {
  require_pixels(pixels, config().vit()->num_channels);
  ResidualStream stream{embeddings(pixels), {}};
  for (ViTLayer& layer : layers) {
    if (recompute_) {
      // A recomputed block has one input and one output, so its last addition is not left to the next norm.
      stream.sum = autograd::recompute(stream.sum, [&layer](const autograd::Variable& x) {
        const ResidualStream out = layer({x, {}});
        return autograd::add(out.sum, out.branch);
      });
    } else {
      stream = layer(std::move(stream));
    }
  }
  return classifier(autograd::select_token(stream.normalize(layernorm), 0));
}

}  // namespace sagitta::models
