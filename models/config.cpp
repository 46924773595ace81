// The table of built-in models and the arithmetic on configs; reading and writing is in config_json.cpp.
#include "models/config.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "tensor/error.h"

namespace sagitta::models {
namespace {

struct NamedResNet {
  std::string_view name;
  std::vector<std::int64_t> depths;
  bool bottleneck;
};
const std::vector<NamedResNet>& named_resnets() {
  static const std::vector<NamedResNet> table = {
      {"resnet-18", {2, 2, 2, 2}, false},  {"resnet-26", {2, 2, 2, 2}, true},
      {"resnet-34", {3, 4, 6, 3}, false},  {"resnet-50", {3, 4, 6, 3}, true},
      {"resnet-101", {3, 4, 23, 3}, true}, {"resnet-152", {3, 8, 36, 3}, true},
  };
  return table;
}

struct NamedViT {
  std::string_view name;
  std::int64_t width, layers, heads;
};
constexpr NamedViT kNamedViTs[] = {
    {"tiny", 192, 12, 3},    {"small", 384, 12, 6},  {"base", 768, 12, 12},
    {"large", 1024, 24, 16}, {"huge", 1280, 32, 16},
};

// Takes `prefix` off the front of `text`.
bool consume(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::optional<std::int64_t> consume_integer(std::string_view& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value < 1 || value > 65536) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

// "vit-base-patch16-224", with any patch and image size.
std::optional<ModelConfig> vit_for(std::string_view name) {
  if (!consume(name, "vit-")) return std::nullopt;
  for (const NamedViT& entry : kNamedViTs) {
    std::string_view rest = name;
    if (!consume(rest, entry.name) || !consume(rest, "-patch")) continue;
    const auto patch = consume_integer(rest);
    if (!patch || !consume(rest, "-")) continue;
    const auto size = consume_integer(rest);
    if (!size || !rest.empty()) continue;
    ViTConfig vit;
    vit.hidden_size = entry.width;
    vit.intermediate_size = 4 * entry.width;
    vit.num_hidden_layers = entry.layers;
    vit.num_attention_heads = entry.heads;
    vit.patch_size = *patch;
    return ModelConfig{.architecture = vit, .labels = default_labels(1000), .image_size = *size};
  }
  return std::nullopt;
}

std::int64_t parameters_of(const ResNetConfig& config) {
  const auto conv = [](std::int64_t in, std::int64_t out, std::int64_t kernel) {
    return in * out * kernel * kernel + 2 * out;  // the weight and its batch norm
  };
  std::int64_t total = conv(config.num_channels, config.embedding_size, 7);
  std::int64_t in = config.embedding_size;
  for (std::size_t stage = 0; stage < config.depths.size(); ++stage) {
    const std::int64_t out = config.hidden_sizes[stage], inner = out / 4;
    const auto layer = [&](std::int64_t from) {
      return config.bottleneck ? conv(from, inner, 1) + conv(inner, inner, 3) + conv(inner, out, 1)
                               : conv(from, out, 3) + conv(out, out, 3);
    };
    const bool strided = stage > 0 || config.downsample_in_first_stage;
    total +=
        layer(in) + (in != out || strided ? conv(in, out, 1) : 0) + (config.depths[stage] - 1) * layer(out);
    in = out;
  }
  return total;
}

std::int64_t parameters_of(const ViTConfig& config, std::int64_t image_size) {
  const auto linear = [](std::int64_t in, std::int64_t out, bool bias) {
    return in * out + (bias ? out : 0);
  };
  const std::int64_t width = config.hidden_size, grid = image_size / config.patch_size;
  const std::int64_t patch_values = config.num_channels * config.patch_size * config.patch_size;
  const std::int64_t embeddings = (grid * grid + 2) * width + linear(patch_values, width, true);
  const std::int64_t layer = 3 * linear(width, width, config.qkv_bias) + linear(width, width, true) +
                             linear(width, config.intermediate_size, true) +
                             linear(config.intermediate_size, width, true) + 4 * width;
  return embeddings + config.num_hidden_layers * layer + 2 * width;
}

void validate_resnet(const ResNetConfig& config) {
  require(!config.hidden_sizes.empty() && config.hidden_sizes.size() == config.depths.size(),
          "resnet: {} hidden_sizes and {} depths, expected as many, at least one", config.hidden_sizes.size(),
          config.depths.size());
  for (std::int64_t size : config.hidden_sizes)
    require(size >= (config.bottleneck ? 4 : 1), "resnet: hidden_sizes holds {}, which is too small", size);
}

void validate_vit(const ViTConfig& config, std::int64_t image_size) {
  require(config.hidden_size % config.num_attention_heads == 0,
          "vit: hidden_size {} is not a multiple of num_attention_heads {}", config.hidden_size,
          config.num_attention_heads);
  require(image_size >= config.patch_size, "vit: image_size {} is smaller than patch_size {}", image_size,
          config.patch_size);
}

}  // namespace

ResNetConfig::ResNetConfig() : hidden_sizes({256, 512, 1024, 2048}), depths({3, 4, 6, 3}) {}

std::int64_t ModelConfig::feature_width() const {
  return vit() ? vit()->hidden_size : resnet()->hidden_sizes.back();
}

std::vector<std::string> default_labels(std::int64_t count) {
  std::vector<std::string> labels;
  for (std::int64_t i = 0; i < count; ++i) labels.push_back(fmt::format("LABEL_{}", i));
  return labels;
}

ModelConfig config_for(std::string_view name) {
  std::string known;
  for (const NamedResNet& entry : named_resnets()) {
    known += fmt::format("{}, ", entry.name);
    if (entry.name != name) continue;
    ResNetConfig resnet;
    resnet.depths = entry.depths;
    resnet.bottleneck = entry.bottleneck;
    if (!entry.bottleneck) resnet.hidden_sizes = {64, 128, 256, 512};
    return {.architecture = resnet, .labels = default_labels(1000)};
  }
  if (auto config = vit_for(name)) {
    validate(*config);
    return *config;
  }
  fail(
      "architecture \"{}\" is unknown, expected one of {}or "
      "vit-{{tiny,small,base,large,huge}}-patch<P>-<SIZE> such as "
      "vit-base-patch16-224",
      name, known);
}

void validate(const ModelConfig& config) {
  require(!config.labels.empty(), "model: no labels, expected at least one");
  if (const ResNetConfig* resnet = config.resnet())
    validate_resnet(*resnet);
  else
    validate_vit(*config.vit(), config.image_size);
}

std::int64_t backbone_parameters(const ModelConfig& config) {
  return config.resnet() ? parameters_of(*config.resnet()) : parameters_of(*config.vit(), config.image_size);
}

}  // namespace sagitta::models
