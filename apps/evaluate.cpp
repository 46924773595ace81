// evaluate: how well models find fractures, per label, slice and patient, with intervals; alone or compared.
#include "apps/engine/device.h"
#include "apps/engine/main_guard.h"
#include "apps/evaluate/evaluate_app.h"
#include "apps/evaluate/parts.h"
#include "apps/evaluate/test_time.h"

using namespace sagitta::apps;

namespace {

void add_scoring_options(CLI::App& app, EvaluateOptions& options) {
  app.add_option("--model", options.models,
                 "model directory, e.g. RUN/best; several are an ensemble (mean of their probabilities)")
      ->required()
      ->type_name("DIR");
  app.add_option("--data", options.data, "RSNA folder, or a folder written by reslice")
      ->required()
      ->type_name("DIR");
  app.add_option("--out", options.out, "folder for the results (default for one model: MODEL/evaluation)")
      ->type_name("DIR");
  app.add_option(
         "--split", options.split,
         "test, validation or train as split by the run; all; or out-of-fold: each study by the models "
         "whose own split has it in test")
      ->check(CLI::IsMember(std::vector<std::string>{"test", "validation", "train", "all", kOutOfFold}))
      ->capture_default_str();
  app.add_option("--aggregate", options.rule,
                 "slices to patient: mean or max of the probabilities, noisy-or (1 - product of 1 - p), or "
                 "learned (a regression fitted to the validation studies)")
      ->check(CLI::IsMember(std::vector<std::string>{"mean", "max", "noisy-or", "learned"}))
      ->capture_default_str();
  app.add_option("--aggregator", options.scoring.aggregator,
                 "aggregator.json of an earlier evaluation, instead of --aggregate")
      ->type_name("FILE");
  app.add_option("--tta", options.scoring.reading.variants,
                 "test-time augmentation: mean over this many fixed changes of each slice; 1 is none")
      ->check(CLI::Range(std::size_t{1}, kMostTestTimeVariants))
      ->capture_default_str();
  app.add_option(
         "--examples", options.examples,
         "slices found, missed and falsely alarmed, of each so many, with where the (first) model looked")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  app.add_option("--batch-size", options.scoring.reading.batch_size, "pictures per forward pass")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{65536}))
      ->capture_default_str();
  app.add_option("--loader-threads", options.scoring.reading.threads, "for reading slices")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
}

void add_statistics_options(CLI::App& app, EvaluateOptions& options) {
  app.add_option("--compare", options.compare,
                 "model directory, or folder of an earlier evaluation, to compare with on the same patients; "
                 "several models are an ensemble")
      ->type_name("DIR");
  app.add_option("--threshold", options.statistics.decision.threshold,
                 "probability from which a label counts as predicted")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--specificity", options.statistics.decision.goals.specificity,
                 "that an operating point has at least")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--sensitivity", options.statistics.decision.goals.sensitivity,
                 "that an operating point has at least")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--bootstrap", options.statistics.bootstrap.replicates,
                 "samples of patients for the intervals; 0: no intervals")
      ->check(CLI::Range(std::size_t{0}, std::size_t{1000000}))
      ->capture_default_str();
  app.add_option("--seed", options.statistics.bootstrap.seed, "of the bootstrap")->capture_default_str();
}

}  // namespace

int main(int argc, char** argv) {
  EvaluateOptions options;
  CLI::App app(
      "Evaluates trained classifiers on sagittal slices, for slices and for patients: AUROC, average "
      "precision,\n"
      "decisions at thresholds, calibration and the RSNA 2022 weighted log loss, with 95 % intervals by "
      "patient.\n"
      "Writes evaluation.json, predictions.csv, patients.csv, aggregator.json and examples.png.",
      "evaluate");
  add_scoring_options(app, options);
  add_statistics_options(app, options);
  add_device_options(app, options.device);
  return run_main(app, argc, argv, [&] {
    run_evaluate(options);
    return 0;
  });
}
