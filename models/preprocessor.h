// Preprocessor: how pixels become a model's input, as Hugging Face's preprocessor_config.json says it.
// ResNets use ConvNextImageProcessor (short side scaled, center crop), ViTs ViTImageProcessor (scaled to a
// square).
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>

#include "models/config.h"

namespace sagitta::models {

struct Preprocessor {
  enum class Kind { convnext, vit };
  Kind kind = Kind::vit;
  std::int64_t size = 224;  // pixels per side of the model's input
  // convnext, sizes below 384: the short side is scaled to size / crop_pct before the crop. 1: nothing is cut
  // off.
  double crop_pct = 0.875;
  int resample = 2;                           // PIL's number: 2 bilinear, 3 bicubic
  double rescale_factor = 1.0 / 255;          // from bytes to [0, 1]
  std::array<double, 3> mean{0.5, 0.5, 0.5};  // of [0, 1] values, per channel; subtracted
  std::array<double, 3> std{0.5, 0.5, 0.5};   // then divided by

  bool operator==(const Preprocessor&) const = default;
};

// What the published checkpoints of this architecture were trained with: ImageNet statistics for ResNet, 0.5
// for ViT.
Preprocessor default_preprocessor(const ModelConfig& config);

// Reads preprocessor_config.json, current and legacy spellings; absent fields take the processor's defaults
// in transformers. Throws Error, naming file and field.
Preprocessor read_preprocessor(const std::filesystem::path& path);
// Writes it so that transformers' AutoImageProcessor loads it, atomically.
void write_preprocessor(const std::filesystem::path& path, const Preprocessor& preprocessor);

}  // namespace sagitta::models
