// export_models DIR: writes randomly initialized models as Sagitta exports them, for check_exports.py.
#include <fmt/format.h>

#include <filesystem>

#include "models/hugging_face.h"
#include "nn/init.h"

int main(int argc, char** argv) {
  using namespace sagitta;
  if (argc != 2) {
    fmt::print(stderr, "usage: export_models DIR\n");
    return 2;
  }
  for (const char* name : {"resnet-18", "resnet-50", "vit-tiny-patch16-224", "vit-tiny-patch16-384"}) {
    models::ModelConfig config = models::config_for(name);
    config.labels = {"C1", "C2", "C3", "C4", "C5", "C6", "C7"};
    config.problem_type = models::ProblemType::multi_label_classification;
    nn::Context context(cpu_backend());
    const auto model = models::make_classifier(config, context);
    nn::initialize(*model, 7);
    models::export_model(*model, models::default_preprocessor(config), std::filesystem::path(argv[1]) / name);
  }
  return 0;
}
