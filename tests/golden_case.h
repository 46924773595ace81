// A folder of tests/golden: a model as transformers saved it, a batch, and what PyTorch computed for it.
#pragma once
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "autograd/ops.h"
#include "models/hugging_face.h"
#include "models/pixel_values.h"
#include "tensor/safetensors.h"

namespace sagitta::testing {

inline const std::vector<std::string> kGoldenNames = {
    "resnet_basic",    "resnet_bottleneck",       "resnet_downsample_in_bottleneck",
    "resnet_gelu",     "resnet_first_stage_silu", "vit",
    "vit_no_qkv_bias", "vit_interpolated"};

inline std::filesystem::path golden_folder(const std::string& name) {
  return std::filesystem::path(SAGITTA_SOURCE_DIR) / "tests/golden" / name;
}

struct GoldenCase {
  explicit GoldenCase(const std::string& name, Backend& backend = cpu_backend())
      : context(backend),
        model(models::import_model(golden_folder(name), context)),
        file(safetensors::File::open(golden_folder(name) / "golden.safetensors")),
        pixels(models::read_pixel_values(file.path(), context)) {}

  autograd::Variable logits() { return model->logits(autograd::Variable(pixels)); }
  autograd::Variable loss(const autograd::Variable& logits) const {
    if (const auto* labels = file.find("labels"))
      return autograd::softmax_cross_entropy(logits,
                                             safetensors::read(*labels, context.backend(), DType::i64));
    return autograd::bce_with_logits(logits,
                                     safetensors::read(file.at("targets"), context.backend(), DType::f32));
  }

  nn::Context context;
  std::unique_ptr<models::ImageClassifier> model;
  safetensors::File file;
  Tensor pixels;
};

// max |a - b| / max |b|
inline double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = a.size() == b.size() ? 0 : INFINITY, largest = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    worst = std::isfinite(a[i]) ? std::max(worst, std::fabs(double{a[i]} - double{b[i]})) : INFINITY;
    largest = std::max(largest, std::fabs(double{b[i]}));
  }
  return worst / std::max(largest, 1e-30);
}

}  // namespace sagitta::testing
