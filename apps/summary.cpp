// summary: prints a model's layers, parameters and cost, as torchinfo does.
#include <cstdio>
#include <filesystem>

#include "apps/engine/main_guard.h"
#include "models/config.h"
#include "models/hugging_face.h"
#include "models/summary.h"

int main(int argc, char** argv) {
  using namespace sagitta;
  std::string arch;
  std::int64_t image_size = 0, num_labels = 0, batch = 1;
  CLI::App app("Prints a model's layers, parameters and cost in the layout of torchinfo.", "summary");
  app.add_option("--arch", arch,
                 "Built-in name (resnet-50, vit-base-patch16-224, ...), or a directory with a config.json")
      ->required();
  app.add_option("--image-size", image_size,
                 "Pixels per side; a ViT gets position embeddings for it (default: the model's own)")
      ->check(CLI::Range(1, 65536));
  app.add_option("--num-labels", num_labels, "Outputs (default: the model's own, 1000 for built-in names)")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--batch", batch, "Images at a time")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  return apps::run_main(app, argc, argv, [&] {
    models::ModelConfig config = std::filesystem::is_directory(arch)
                                     ? models::read_config(std::filesystem::path(arch) / "config.json")
                                     : models::config_for(arch);
    if (image_size > 0) config.image_size = image_size;
    if (num_labels > 0) config.labels = models::default_labels(num_labels);
    models::validate(config);
    fmt::print("{}", models::format_summary(models::summarize(config, batch)));
    return 0;
  });
}
