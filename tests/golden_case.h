// A folder of tests/golden: a model as transformers saved it, a batch, and what PyTorch computed for it.
#pragma once
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "autograd/ops.h"
#include "models/hugging_face.h"
#include "tensor/safetensors.h"

namespace sagitta::testing {

inline const std::vector<std::string> kGoldenNames = {
    "resnet_basic",    "resnet_bottleneck",       "resnet_downsample_in_bottleneck",
    "resnet_gelu",     "resnet_first_stage_silu", "vit",
    "vit_no_qkv_bias", "vit_interpolated"};

inline std::filesystem::path golden_folder(const std::string& name) {
  return std::filesystem::path(SAGITTA_SOURCE_DIR) / "tests/golden" / name;
}

// [N,C,H,W] values of an entry as an image tensor [N,H,W,C].
inline Tensor channels_last(const safetensors::Entry& entry, Backend& backend) {
  const auto values = safetensors::values_of<float>(entry);
  const std::int64_t n = entry.shape[0], c = entry.shape[1], h = entry.shape[2], w = entry.shape[3];
  std::vector<float> result(values.size());
  std::size_t from = 0;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t k = 0; k < c; ++k)
      for (std::int64_t p = 0; p < h * w; ++p)
        result[static_cast<std::size_t>((i * h * w + p) * c + k)] = values[from++];
  return from_host(backend, {n, h, w, c}, result);
}

struct GoldenCase {
  explicit GoldenCase(const std::string& name, Backend& backend = cpu_backend())
      : context(backend),
        model(models::import_model(golden_folder(name), context)),
        file(safetensors::File::open(golden_folder(name) / "golden.safetensors")),
        pixels(channels_last(file.at("pixel_values"), backend)) {}

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
