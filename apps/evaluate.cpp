// evaluate: how well a model finds fractures, per label, slice and patient.
#include <nlohmann/json.hpp>

#include "apps/engine/device.h"
#include "apps/evaluate/evaluation.h"
#include "apps/engine/main_guard.h"
#include "apps/engine/progress.h"
#include "apps/evaluate/sheet.h"
#include "apps/engine/slices.h"
#include "models/hugging_face.h"
#include "tensor/atomic_file.h"

namespace {

using namespace sagitta;
namespace fs = std::filesystem;

struct Options {
  std::string model, data, out, split = "test", aggregation = "mean";
  apps::DeviceOptions device;
  double threshold = 0.5;
  std::int64_t batch_size = 16;
  int threads = 2;
};

int run(const Options& options) {
  const apps::OpenedDevice device = apps::open_device(options.device);
  nn::Context context(device.backend, device.dtype);
  const auto model = models::import_model(options.model, context);
  const models::Preprocessor preprocessor =
      models::read_preprocessor(fs::path(options.model) / "preprocessor_config.json");
  apps::InputOptions input = apps::input_options(model->config(), preprocessor);
  input.loader.batch_size = options.batch_size;
  input.loader.threads = options.threads;
  std::error_code error;
  fs::create_directories(options.out, error);
  require(!error, "--out {}: cannot be created: {}", options.out, error.message());
  apps::SliceSource source{
      .data = options.data, .cache = fs::path(options.out) / "slices", .size = input.loader.image_size};
  apps::adopt_slice_settings(source, fs::path(options.model) / "slices.json");
  const data::SliceSet slices =
      apps::select_slices(apps::open_slices(source), options.split, fs::path(options.model) / "split.json");
  apps::Predictions predictions;
  {
    apps::Progress progress("evaluating", "images", static_cast<std::int64_t>(slices.records.size()));
    predictions =
        apps::predict(*model, context, slices, input, [&](std::int64_t done) { progress.update(done); });
  }
  const std::vector<std::size_t>& labels = input.loader.labels;
  const apps::Evaluation evaluation = apps::evaluate(
      slices, predictions, labels, apps::parse_aggregation(options.aggregation), options.threshold);
  fmt::print("{}", apps::format_evaluation(evaluation));
  write_text_file(fs::path(options.out) / "evaluation.json",
                  apps::evaluation_json(evaluation).dump(2) + "\n");
  data::write_png(fs::path(options.out) / "examples.png",
                  apps::contact_sheet(slices, predictions, labels, options.threshold));
  fmt::print("written: {0}/evaluation.json, {0}/examples.png\n", options.out);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Evaluates a trained classifier on sagittal slices: AUROC, average precision, F1, exact match and the\n"
      "RSNA 2022 weighted log loss, for slices and for patients.",
      "evaluate");
  app.add_option("--model", options.model, "model directory, e.g. RUN/best")->required();
  app.add_option("--data", options.data, "RSNA folder, or a folder written by reslice")->required();
  app.add_option("--out", options.out,
                 "folder for evaluation.json and examples.png (default: MODEL/evaluation)");
  app.add_option("--split", options.split, "test, validation or train as split by the run, or all")
      ->check(CLI::IsMember(std::vector<std::string>{"test", "validation", "train", "all"}))
      ->capture_default_str();
  app.add_option("--aggregate", options.aggregation, "slices to patient: mean or max of the probabilities")
      ->check(CLI::IsMember(std::vector<std::string>{"mean", "max"}))
      ->capture_default_str();
  app.add_option("--threshold", options.threshold, "probability from which a label counts as predicted")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--batch-size", options.batch_size, "slices per forward pass")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{65536}))
      ->capture_default_str();
  app.add_option("--loader-threads", options.threads, "for reading slices")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  apps::add_device_options(app, options.device);
  return apps::run_main(app, argc, argv, [&] {
    if (options.out.empty()) options.out = (fs::path(options.model) / "evaluation").string();
    return run(options);
  });
}
