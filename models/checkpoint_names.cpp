#include "models/checkpoint_names.h"

#include <array>
#include <utility>

#include "tensor/error.h"

namespace sagitta::models {
namespace {

void replace(std::string& text, std::string_view from, std::string_view to) {
  if (const std::size_t at = text.find(from); at != text.npos) text.replace(at, from.size(), to);
}

// transformers >= 5.9 -> the names before.
std::string vit_name(std::string name) {
  for (const char* base : {"embeddings.", "encoder.", "layers.", "layernorm.", "pooler."})
    if (name.starts_with(base)) name.insert(0, "vit.");
  if (name.starts_with("vit.pooler.") || name == "vit.embeddings.mask_token") return {};
  if (!name.starts_with("vit.layers.")) return name;
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kRenamed = {{
      {"vit.layers.", "vit.encoder.layer."},
      {".attention.q_proj.", ".attention.attention.query."},
      {".attention.k_proj.", ".attention.attention.key."},
      {".attention.v_proj.", ".attention.attention.value."},
      {".attention.o_proj.", ".attention.output.dense."},
      {".mlp.fc1.", ".intermediate.dense."},
      {".mlp.fc2.", ".output.dense."},
  }};
  for (const auto& [from, to] : kRenamed) replace(name, from, to);
  return name;
}

// "layer3.0.conv2.weight" -> "resnet.encoder.stages.2.layers.0.layer.1.convolution.weight" (torchvision and
// timm).
std::string torchvision_name(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  if (dot == name.npos) return name;
  std::string module = name.substr(0, dot);
  const std::string leaf = name.substr(dot);
  if (module == "fc") return "classifier.1" + leaf;
  if (module == "conv1") return "resnet.embedder.embedder.convolution" + leaf;
  if (module == "bn1") return "resnet.embedder.embedder.normalization" + leaf;
  // layer<stage>.<index>.<part>
  const std::size_t first = module.find('.'),
                    second = first == module.npos ? first : module.find('.', first + 1);
  if (!module.starts_with("layer") || second == module.npos || first != 6) return name;
  const int stage = module[5] - '1';
  const std::string index = module.substr(first + 1, second - first - 1), part = module.substr(second + 1);
  const std::string prefix = fmt::format("resnet.encoder.stages.{}.layers.{}.", stage, index);
  if (part == "downsample.0") return prefix + "shortcut.convolution" + leaf;
  if (part == "downsample.1") return prefix + "shortcut.normalization" + leaf;
  if (part.size() == 5 && part.starts_with("conv"))
    return fmt::format("{}layer.{}.convolution{}", prefix, part[4] - '1', leaf);
  if (part.size() == 3 && part.starts_with("bn"))
    return fmt::format("{}layer.{}.normalization{}", prefix, part[2] - '1', leaf);
  return name;
}

std::string resnet_name(const std::string& name) {
  if (name.starts_with("embedder.") || name.starts_with("encoder.")) return "resnet." + name;
  return name.starts_with("resnet.") || name.starts_with("classifier.") ? name : torchvision_name(name);
}

}  // namespace

std::string module_name_of(const ModelConfig& config, const std::string& file_name) {
  return config.vit() ? vit_name(file_name) : resnet_name(file_name);
}

}  // namespace sagitta::models
