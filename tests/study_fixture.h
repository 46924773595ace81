// What the tests of study models share: a small slice model as train_resnet leaves it, and train_study called
// as a program.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "apps/engine/slices.h"
#include "apps/study/study_app.h"
#include "models/hugging_face.h"
#include "nn/init.h"

namespace sagitta::testing {

// A ResNet of a few weights, for pictures of `side` pixels.
inline void write_slice_model(const std::filesystem::path& folder, std::uint64_t seed,
                              const apps::StudySplit& split, int side,
                              const std::vector<std::string>& labels = {"C1", "C2", "C3", "C4", "C5", "C6",
                                                                        "C7"}) {
  models::ResNetConfig resnet;
  resnet.embedding_size = 4;
  resnet.hidden_sizes = {6};
  resnet.depths = {1};
  resnet.bottleneck = false;
  const models::ModelConfig config{.architecture = resnet, .labels = labels, .image_size = side};
  nn::Context context(cpu_backend());
  const auto model = models::make_classifier(config, context);
  nn::initialize(*model, seed);
  models::Preprocessor preprocessor = models::default_preprocessor(config);
  preprocessor.size = side;
  models::export_model(*model, preprocessor, folder);
  apps::write_split(folder / "split.json", split);
}

inline int run_train_study(std::vector<std::string> arguments) {
  std::vector<char*> argv;
  arguments.insert(arguments.begin(), "train_study");
  for (std::string& argument : arguments) argv.push_back(argument.data());
  return apps::train_study_main(static_cast<int>(argv.size()), argv.data());
}

}  // namespace sagitta::testing
