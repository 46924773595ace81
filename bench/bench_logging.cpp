// bench_logging: what the log, TensorBoard's events and the report cost beside the training that they are
// about. A finished run's own entries are written again, to a scratch directory, with pictures of its own
// slices, and its report is rendered once per epoch, as training does; the sum is put in relation to the time
// that the run's steps took.
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

#include "apps/engine/main_guard.h"
#include "apps/engine/recipe.h"
#include "apps/engine/slices.h"
#include "apps/events/run_log.h"
#include "apps/report/report.h"
#include "apps/train/training_pictures.h"
#include "bench/machine.h"
#include "tensor/atomic_file.h"

namespace {

using namespace sagitta;
using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

std::vector<Json> entries_of(const fs::path& run) {
  std::istringstream lines(read_text_file(run / "metrics.jsonl", std::size_t{1} << 32));
  std::vector<Json> entries;
  for (std::string line; std::getline(lines, line);) entries.push_back(Json::parse(line));
  return entries;
}

// Seconds that the batches of the run took: of each epoch, its last step and the speed up to it.
double seconds_of_steps(const std::vector<Json>& entries, double batch_size) {
  double seconds = 0, last_speed = 0;
  std::int64_t first = 0;
  for (const Json& entry : entries) {
    if (entry["type"] == "step") last_speed = entry["images_per_second"];
    if (entry["type"] != "epoch") continue;
    const std::int64_t steps = entry["step"].get<std::int64_t>() - first;
    seconds += static_cast<double>(steps) * batch_size / last_speed;
    first = entry["step"];
  }
  return seconds;
}

// Random predictions of as many slices as the run validated, for the curves of each epoch.
apps::Predictions predictions_of(std::size_t slices, std::size_t labels) {
  apps::Predictions predictions{.labels = labels, .logits = {}, .targets = {}};
  for (std::size_t i = 0; i < slices * labels; ++i) {
    predictions.logits.push_back(4 * random::uniform({1, 2, 3}, i) - 2);
    predictions.targets.push_back(random::uniform({1, 2, 4}, i) < 0.2F ? 1.0F : 0.0F);
  }
  return predictions;
}

std::string setting_of(const fs::path& run, const std::string& name) {
  for (const auto& [key, value] : apps::recipe_settings(run / "recipe.toml"))
    if (key == name) return value;
  fail("{}: its recipe.toml lacks {}", run.string(), name);
}

// What the run validated.
data::SliceSet validation_of(const fs::path& run) {
  const fs::path data = setting_of(run, "data");
  const data::SliceSet slices =
      data::read_slice_set(fs::exists(data / "manifest.csv") ? data : run / "slices");
  return slices.of_studies(apps::read_split(run / "split.json").validation);
}

struct Cost {
  // Seconds per step, epoch, epoch, picture of the hardest slices (of which a run shows few), run.
  double log = 0, curves = 0, report = 0, hardest = 0, first_batch = 0;
};

Cost measure(const fs::path& run, const std::vector<Json>& entries, const fs::path& scratch, int rounds) {
  const std::vector<std::string> labels{"C1", "C2", "C3", "C4", "C5", "C6", "C7"};
  const data::SliceSet slices = validation_of(run);
  const apps::Predictions predictions = predictions_of(slices.records.size(), labels.size());
  data::Loader loader(slices, {.batch_size = static_cast<std::int64_t>(apps::kShownOfBatch),
                               .labels = {1, 2, 3, 4, 5, 6, 7}});
  loader.start(0);
  const data::Batch batch = *loader.next();
  std::vector<double> logs, curves, reports, hardest, batches;
  for (int round = 0; round < rounds; ++round) {
    apps::RunDirectory directory = apps::RunDirectory::create(scratch / std::to_string(round));
    apps::RunLog log(directory, 0);
    double begin = bench::seconds_now();
    std::int64_t steps = 0;
    for (const Json& entry : entries) {
      log.add(entry);
      steps += entry["type"] == "step";
    }
    logs.push_back((bench::seconds_now() - begin) / static_cast<double>(steps));
    begin = bench::seconds_now();
    log.add_predictions(1, predictions, labels);
    curves.push_back(bench::seconds_now() - begin);
    begin = bench::seconds_now();
    apps::write_report({.runs = {run}, .out = scratch / "report.html"});
    reports.push_back(bench::seconds_now() - begin);
    begin = bench::seconds_now();
    log.add_image(1, "hardest", apps::hardest_picture(slices, predictions, labels, {}));
    hardest.push_back(bench::seconds_now() - begin);
    begin = bench::seconds_now();
    log.add_image(1, "batch", apps::batch_picture(batch, labels, 0));
    batches.push_back(bench::seconds_now() - begin);
  }
  return {bench::median(logs), bench::median(curves), bench::median(reports), bench::median(hardest),
          bench::median(batches)};
}

int bench_run(const fs::path& run, int rounds, const std::string& json) {
  const std::vector<Json> entries = entries_of(run);
  std::int64_t steps = 0, epochs = 0, pictures = 0;
  for (const Json& entry : entries) {
    steps += entry["type"] == "step";
    epochs += entry["type"] == "epoch";
  }
  require(steps > 0 && epochs > 0, "{}: has no whole epoch", run.string());
  for (std::int64_t epoch = 1; epoch <= epochs; ++epoch)
    pictures += apps::shows_hardest(epoch, epoch == epochs);
  const double batch_size = std::stod(setting_of(run, "batch-size"));
  std::string folder = (fs::temp_directory_path() / "sagitta-logging-XXXXXX").string();
  require(mkdtemp(folder.data()) != nullptr, "{}: cannot be created", folder);
  const Cost cost = measure(run, entries, folder, rounds);
  fs::remove_all(folder);
  const double trained = seconds_of_steps(entries, batch_size);
  const double spent = static_cast<double>(steps) * cost.log +
                       static_cast<double>(epochs) * (cost.curves + cost.report) +
                       static_cast<double>(pictures) * cost.hardest + cost.first_batch;
  fmt::print("{} steps in {} epochs, {:.1f} s of training\n", steps, epochs, trained);
  fmt::print("{:<34}{:>10.3f} ms per step\n{:<34}{:>10.3f} ms per epoch\n{:<34}{:>10.3f} ms per epoch\n",
             "metrics.jsonl and events", 1e3 * cost.log, "precision-recall curves", 1e3 * cost.curves,
             "report.html", 1e3 * cost.report);
  fmt::print("{:<34}{:>10.3f} ms, {} times\n{:<34}{:>10.3f} ms, once\n", "picture of the hardest slices",
             1e3 * cost.hardest, pictures, "picture of the first batch", 1e3 * cost.first_batch);
  fmt::print("together {:.2f} s, {:.3f} % of the training\n", spent, 100 * spent / trained);
  if (json.empty()) return 0;
  const Json document{{"machine", bench::machine_name()},
                      {"date", bench::today()},
                      {"steps", steps},
                      {"epochs", epochs},
                      {"training_seconds", trained},
                      {"log_ms_per_step", 1e3 * cost.log},
                      {"curves_ms_per_epoch", 1e3 * cost.curves},
                      {"report_ms_per_epoch", 1e3 * cost.report},
                      {"hardest_picture_ms", 1e3 * cost.hardest},
                      {"hardest_pictures", pictures},
                      {"first_batch_picture_ms", 1e3 * cost.first_batch},
                      {"share", spent / trained}};
  write_text_file(json, document.dump(2) + "\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  fs::path run;
  std::string json;
  int rounds = 9;
  CLI::App app("Measures what a run's log, events and report cost beside its training.", "bench_logging");
  app.add_option("run", run, "a finished run, for instance demo-out/resnet")
      ->required()
      ->check(CLI::ExistingDirectory);
  app.add_option("--rounds", rounds, "of which the median counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--json", json, "write the figures to this file");
  return apps::run_main(app, argc, argv, [&] { return bench_run(run, rounds, json); });
}
