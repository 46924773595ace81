// explain: where a model looks when it finds a fracture, as pictures and as the pointing game.
#include "apps/explain/explain_app.h"

#include <filesystem>

#include "apps/engine/main_guard.h"

using namespace sagitta;

int main(int argc, char** argv) {
  apps::ExplainOptions options;
  CLI::App app(
      "Shows where a trained classifier looks: heat over the slices that tell most about it, and, where the "
      "fractures'\n"
      "bounding boxes are known, how often its hottest pixel lies in one (the pointing game).",
      "explain");
  app.add_option("--model", options.model, "model directory, e.g. RUN/best")->required()->type_name("DIR");
  app.add_option("--data", options.data, "RSNA folder, or a folder written by reslice")
      ->required()
      ->type_name("DIR");
  app.add_option(
         "--ct", options.ct,
         "RSNA folder whose train_bounding_boxes.csv tells where the fractures are; plays the pointing game")
      ->type_name("DIR");
  app.add_option("--out", options.out, "folder for the pictures and tables (default: MODEL/explanations)")
      ->type_name("DIR");
  app.add_option("--split", options.split, "test, validation or train as split by the run, or all")
      ->check(CLI::IsMember(std::vector<std::string>{"test", "validation", "train", "all"}))
      ->capture_default_str();
  app.add_option("--method", options.method,
                 "grad-cam (ResNet), gradient-attention or attention-rollout (ViT); auto: the first that "
                 "suits the model")
      ->check(CLI::IsMember(
          std::vector<std::string>{"auto", "grad-cam", "gradient-attention", "attention-rollout"}))
      ->capture_default_str();
  app.add_option("--least-cells", options.grad_cam.least_cells,
                 "grad-cam: take the deepest feature map at least so many cells wide and tall (1: the last)")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--label", options.label, "ask about one output only, e.g. C5")->capture_default_str();
  app.add_option("--examples", options.examples,
                 "pictures of each kind: found, missed, false alarm (0: none)")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  app.add_option("--batch-size", options.batch_size, "slices at a time")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{65536}))
      ->capture_default_str();
  app.add_option("--loader-threads", options.threads, "for reading slices")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  apps::add_device_options(app, options.device);
  return apps::run_main(app, argc, argv, [&] {
    if (options.out.empty()) options.out = (std::filesystem::path(options.model) / "explanations").string();
    apps::explain_model(options);
    return 0;
  });
}
