// predict: probabilities of fractures, per vertebra, from folders of DICOM files.
#include "apps/engine/device.h"
#include "apps/engine/main_guard.h"
#include "apps/evaluate/test_time.h"
#include "apps/predict/predict_app.h"
#include "apps/predict/study_picture.h"

using namespace sagitta::apps;

namespace {

void add_input_options(CLI::App& app, PredictOptions& options) {
  app.add_option(
         "--model", options.choice.models,
         "model directory of train_resnet, train_vit or train_study, e.g. RUN/best; several of one kind "
         "are an ensemble (mean of their probabilities)")
      ->required()
      ->type_name("DIR");
  app.add_option("--slice-model", options.choice.slice_models,
                 "of a study model: a slice model of it that is not where it was")
      ->type_name("DIR");
  CLI::Option_group* input = app.add_option_group("studies");
  input->add_option("--study", options.study, "folder of one study, with whatever else lies in it")
      ->type_name("DIR");
  input
      ->add_option("--studies", options.studies,
                   "folder with a subfolder per study, or RSNA folder (test_images/ or train_images/)")
      ->type_name("DIR");
  input->require_option(1);
  app.add_option("--out", options.out, "folder for the results; an interrupted batch goes on")
      ->required()
      ->type_name("DIR");
  app.add_flag(
      "--interpolate-missing", options.policy.interpolate_missing,
      "accept up to three missing slices in a row and interpolate over them instead of refusing the study");
  app.add_option("--min-slices", options.policy.min_slices, "fewest axial slices of a study")
      ->check(CLI::Range(2, 100000))
      ->capture_default_str();
}

void add_prediction_options(CLI::App& app, PredictOptions& options) {
  CLI::Option* rule =
      app.add_option("--aggregate", options.choice.rule,
                     "slices to study: mean or max of the probabilities, noisy-or (1 - product of 1 - p)")
          ->check(CLI::IsMember(std::vector<std::string>{"mean", "max", "noisy-or"}))
          ->default_str("aggregator.json of the one model, or mean");
  app.add_option("--aggregator", options.choice.aggregator,
                 "aggregator.json of an evaluation, instead of --aggregate")
      ->type_name("FILE")
      ->excludes(rule);
  app.add_option("--tta", options.reading.variants,
                 "test-time augmentation: mean over this many fixed changes of each slice; 1 is none")
      ->check(CLI::Range(std::size_t{1}, kMostTestTimeVariants))
      ->capture_default_str();
  app.add_option("--batch-size", options.reading.batch_size, "pictures per forward pass")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{65536}))
      ->capture_default_str();
  app.add_option(
         "--jobs", options.jobs,
         "studies that are read and cut at a time, each with its volume in memory (0: one per processor)")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
}

void add_output_options(CLI::App& app, PredictOptions& options, bool& no_pictures) {
  app.add_option(
         "--fill", options.fill,
         "probability in submission.csv of what was not predicted: one, or eight for patient_overall,C1..C7 "
         "(default: such rows are left out)")
      ->delimiter(',')
      ->check(CLI::Range(0.0, 1.0));
  app.add_flag("--no-pictures", no_pictures, "write no picture per study");
  app.add_flag(
      "--secondary-capture", options.wanted.secondary_capture,
      "write the picture as DICOM, too, in the study and under the patient's name that its files have");
}

}  // namespace

int main(int argc, char** argv) {
  PredictOptions options;
  bool no_pictures = false;
  CLI::App app(
      "Estimates how probable fractures of C1..C7 are, from folders of DICOM files: chooses the axial CT "
      "series,\n"
      "cuts slices as the model was trained on, predicts, and shows where the model looked. A study that "
      "cannot be\n"
      "trusted is refused with the reason. Writes predictions.json, predictions.csv, submission.csv, and per "
      "study\n"
      "studies/<study>.json and pictures/<study>.png. Research software, not a medical device.",
      "predict");
  add_input_options(app, options);
  add_prediction_options(app, options);
  add_output_options(app, options, no_pictures);
  add_device_options(app, options.device);
  return run_main(app, argc, argv, [&] {
    options.wanted.picture = !no_pictures;
    const PredictSummary summary = predict_studies(options);
    fmt::print("{} studies predicted ({} before), {} refused; results in {}\n{}\n", summary.predicted,
               summary.reused, summary.refused, options.out, kNotice);
    std::fflush(stdout);
    sagitta::require(summary.predicted > 0, "no study was predicted; first refusal: {}",
                     summary.first_refusal);
    return 0;
  });
}
