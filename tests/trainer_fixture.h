// A small data set, model and recipe, and a trainer around them: for the tests of the trainer on any device.
#pragma once
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "apps/train/trainer.h"
#include "nn/init.h"
#include "temp_folder.h"
#include "tensor/observed_backend.h"

namespace sagitta::testing {

using namespace sagitta::apps;

inline constexpr int kSide = 16;

// `count` pictures with labels of their own, of which the last three make the validation set.
inline Trainer::Data make_data(const TempFolder& folder, int count) {
  Trainer::Data data;
  for (int i = 0; i < count; ++i) {
    data::Image image{.width = kSide, .height = kSide, .channels = 1, .pixels = {}};
    for (int k = 0; k < kSide * kSide; ++k)
      image.pixels.push_back(static_cast<std::uint8_t>((k * (i + 3) + 41 * i) % 256));
    data::SliceRecord record{
        .file = "s" + std::to_string(i) + ".png", .study = std::to_string(i), .labeled = true};
    record.labels[1] = static_cast<float>(i % 2);
    record.labels[2] = static_cast<float>(i % 3 == 0);
    data::write_png(folder / record.file, image);
    (i < count - 3 ? data.train : data.validation).records.push_back(record);
  }
  data.train.root = data.validation.root = folder.path();
  return data;
}

inline models::ModelConfig small_vit() {
  models::ModelConfig config = models::config_for("vit-tiny-patch16-224");
  config.architecture = models::ViTConfig{.hidden_size = 12,
                                          .num_hidden_layers = 2,
                                          .num_attention_heads = 2,
                                          .intermediate_size = 20,
                                          .hidden_dropout_prob = 0.1,
                                          .patch_size = 8};
  config.image_size = kSide;
  config.labels = {"C1", "C2"};
  config.problem_type = models::ProblemType::multi_label_classification;
  return config;
}

inline models::Preprocessor preprocessor() {
  models::Preprocessor result = models::default_preprocessor(small_vit());
  result.size = kSide;
  return result;
}

inline TrainOptions options_for(std::int64_t accumulate) {
  TrainOptions options;
  options.labels = {"C1", "C2"};
  options.epochs = 2;
  options.batch_size = 2;
  options.accumulate = accumulate;
  options.lr = 0.01;
  options.warmup = 1;
  options.seed = 5;
  options.augment = {.rotation_degrees = 10, .brightness = 0.1, .flip = 0.5};
  return options;
}

// All parameters, one after another.
inline std::vector<float> values_of(models::ImageClassifier& model) {
  std::vector<float> all;
  for (const nn::NamedParameter& named : model.named_parameters()) {
    const std::vector<float> values = to_host<float>(named.parameter->value());
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

// A model with its trainer and run directory: a new one, or one to go on with.
struct Run {
  Run(RunDirectory run, const TrainOptions& options, const Trainer::Data& data,
      Backend& backend = cpu_backend(), DType dtype = DType::f32, const StopSignal* stop = nullptr)
      : directory(std::move(run)),
        observed(backend),
        context(observed, dtype),
        model(models::make_classifier(small_vit(), context)) {
    nn::initialize(*model, 3);
    trainer = std::make_unique<Trainer>(*model, context, preprocessor(), data, options, directory, stop);
  }
  std::vector<nlohmann::json> log(const std::string& type) const {
    std::istringstream lines(read_bytes(directory.path() / "metrics.jsonl"));
    std::vector<nlohmann::json> entries;
    for (std::string line; std::getline(lines, line);)
      if (nlohmann::json entry = nlohmann::json::parse(line); entry["type"] == type)
        entries.push_back(std::move(entry));
    return entries;
  }

  RunDirectory directory;
  ObservedBackend observed;
  nn::Context context;
  std::unique_ptr<models::ImageClassifier> model;
  std::unique_ptr<Trainer> trainer;
};

}  // namespace sagitta::testing
