#include "models/preprocessor.h"

#include <algorithm>

#include "models/json_file.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::models {
namespace {

constexpr int kBilinear = 2, kBicubic = 3;
constexpr std::int64_t kLargestSize = 65536;

Preprocessor::Kind read_kind(const JsonFile& file) {
  // "ViTImageProcessor", "ViTImageProcessorFast" (or Pil), and "ViTFeatureExtractor" in older files.
  const char* key = file.find("image_processor_type") ? "image_processor_type" : "feature_extractor_type";
  const std::string type = file.text(key, "");
  if (type.starts_with("ConvNext")) return Preprocessor::Kind::convnext;
  if (type.starts_with("ViT") || type.starts_with("DeiT")) return Preprocessor::Kind::vit;
  file.reject(key, "ConvNextImageProcessor or ViTImageProcessor");
}

// `size` is an integer in old files, {"shortest_edge": n} or {"height": n, "width": n} in new ones.
std::int64_t read_size(const JsonFile& file, std::int64_t fallback) {
  const nlohmann::json* size = file.find("size");
  if (!size || !size->is_object()) return file.integer("size", fallback, {1, kLargestSize});
  const auto field = [&](const char* key) -> std::int64_t {
    const auto found = size->find(key);
    if (found == size->end()) return 0;
    if (!found->is_number_unsigned() || *found < 1 || *found > kLargestSize)
      file.reject("size", "sides in pixels");
    return found->get<std::int64_t>();
  };
  if (const std::int64_t edge = field("shortest_edge")) return edge;
  const std::int64_t height = field("height"), width = field("width");
  if (height == 0 || height != width) file.reject("size", "a square, or its shortest_edge");
  return height;
}

std::array<double, 3> read_triple(const JsonFile& file, const char* key, double fallback, double low) {
  const nlohmann::json* value = file.find(key);
  if (!value) return {fallback, fallback, fallback};
  const auto valid = [&](const nlohmann::json& item) {
    return item.is_number() && item.get<double>() >= low && item.get<double>() <= 1000;
  };
  if (!value->is_array() || value->size() != 3 || !std::all_of(value->begin(), value->end(), valid))
    file.reject(key, "three numbers, one per channel");
  return {(*value)[0], (*value)[1], (*value)[2]};
}

}  // namespace

Preprocessor default_preprocessor(const ModelConfig& config) {
  if (config.vit()) return {.kind = Preprocessor::Kind::vit, .size = config.image_size};
  return {.kind = Preprocessor::Kind::convnext,
          .size = config.image_size,
          .resample = kBicubic,
          .mean = {0.485, 0.456, 0.406},
          .std = {0.229, 0.224, 0.225}};
}

Preprocessor read_preprocessor(const std::filesystem::path& path) {
  const JsonFile file = JsonFile::load(path);
  const Preprocessor::Kind kind = read_kind(file);
  const bool convnext = kind == Preprocessor::Kind::convnext;
  constexpr double kSmallestStd = 1e-6;
  return {.kind = kind,
          .size = read_size(file, convnext ? 384 : 224),
          .crop_pct = file.number("crop_pct", 224.0 / 256, 0.01, 1),
          .resample = static_cast<int>(file.integer("resample", convnext ? kBicubic : kBilinear, {0, 5})),
          .rescale_factor = file.number("rescale_factor", 1.0 / 255, 1e-9, 1e9),
          .mean = read_triple(file, "image_mean", 0.5, -1000),
          .std = read_triple(file, "image_std", 0.5, kSmallestStd)};
}

void write_preprocessor(const std::filesystem::path& path, const Preprocessor& preprocessor) {
  nlohmann::json object = {{"do_resize", true},
                           {"do_rescale", true},
                           {"do_normalize", true},
                           {"resample", preprocessor.resample},
                           {"rescale_factor", preprocessor.rescale_factor},
                           {"image_mean", preprocessor.mean},
                           {"image_std", preprocessor.std}};
  if (preprocessor.kind == Preprocessor::Kind::convnext) {
    object["image_processor_type"] = "ConvNextImageProcessor";
    object["size"] = {{"shortest_edge", preprocessor.size}};
    object["crop_pct"] = preprocessor.crop_pct;
  } else {
    object["image_processor_type"] = "ViTImageProcessor";
    object["size"] = {{"height", preprocessor.size}, {"width", preprocessor.size}};
  }
  write_text_file(path, json_text(object));
}

}  // namespace sagitta::models
