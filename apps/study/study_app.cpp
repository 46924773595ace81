#include "apps/study/study_app.h"

#include <CLI/CLI.hpp>
#include <optional>
#include <thread>

#include "apps/engine/main_guard.h"
#include "apps/engine/progress.h"
#include "apps/engine/recipe.h"
#include "apps/report/report.h"
#include "apps/study/slice_labels.h"
#include "apps/study/study_evaluation.h"
#include "apps/study/study_parts.h"
#include "apps/train/run_record.h"
#include "nn/init.h"
#include "tensor/atomic_file.h"
#include "tensor/cpu_options.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

namespace fs = std::filesystem;

constexpr const char* kProgram = "train_study";

// Thrown out of the slice models' work when the signal to stop arrives.
struct Stopped {};

// Everything that a run reads, and how it was divided.
struct Inputs {
  std::vector<SliceModel> slice_models;
  data::SliceSet slices;  // of all parts
  StudyParts parts;
};

Inputs open_inputs(const StudyOptions& options, nn::Context& context) {
  Inputs inputs{.slice_models = open_slice_models(options.slice_models, context), .slices = {}, .parts = {}};
  std::vector<StudySplit> splits;
  for (const SliceModel& model : inputs.slice_models) splits.push_back(model.split());
  inputs.parts = study_parts(splits);
  require(fs::exists(fs::path(options.data) / "manifest.csv"),
          "--data {}: holds no slices (no manifest.csv); cut them with reslice", options.data);
  const data::SliceSet all = data::read_slice_set(options.data);
  std::vector<std::string> studies;
  const StudySplit& split = inputs.parts.split;
  for (const auto* part : {&split.train, &split.validation, &split.test}) {
    require(!part->empty(), "--slice-model {}: its split has no {} studies; train it with {} above 0",
            options.slice_models.front(), part == &split.test ? "test" : "validation",
            part == &split.test ? "--test-fraction" : "--validation-fraction");
    const data::SliceSet found = all.of_studies(*part);
    require(
        found.studies().size() == part->size(),
        "--data {}: has {} of the {} studies that a part of the slice model's split names; give the slices "
        "that it was trained on",
        options.data, found.studies().size(), part->size());
    studies.insert(studies.end(), part->begin(), part->end());
  }
  inputs.slices = all.of_studies(studies);
  for (const data::SliceRecord& record : inputs.slices.records)
    require(record.labeled, "--data {}: study {} has no labels", options.data, record.study);
  return inputs;
}

models::StudyConfig config_of(const StudyOptions& options, const Inputs& inputs) {
  const SliceModel& first = inputs.slice_models.front();
  models::StudyConfig config{.planes = planes_of(inputs.slices),
                             .embedding_width = first.embedding_width(),
                             .slice_labels = first.model->config().labels,
                             .slice_models = {},
                             .labels = study_labels(),
                             .members = options.members,
                             .hidden_size = options.hidden_size,
                             .num_hidden_layers = options.layers,
                             .num_attention_heads = options.heads,
                             .intermediate_size = options.intermediate_size,
                             .hidden_dropout_prob = options.dropout,
                             .feature_dropout_prob = options.feature_dropout};
  for (const SliceModel& model : inputs.slice_models)
    config.slice_models.push_back({fs::absolute(model.directory).string(), model.fingerprint});
  return config;
}

// A run that goes on must find what it began with.
void require_same_models(const models::StudyConfig& now, const fs::path& checkpoint) {
  const models::StudyConfig before = models::read_study_config(checkpoint / "config.json");
  bool same = before.slice_models.size() == now.slice_models.size() && before.planes == now.planes;
  for (std::size_t i = 0; same && i < now.slice_models.size(); ++i)
    same = before.slice_models[i].fingerprint == now.slice_models[i].fingerprint;
  require(same, "--resume: the slice models or the number of slices are not those of {}; start a new run",
          checkpoint.string());
}

// The features of the studies of each slice model, `studies` by slice model.
std::vector<SliceFeatures> features_of(const Inputs& inputs, const nn::Context& context,
                                       const std::vector<std::vector<std::string>>& studies,
                                       const FeatureOptions& options, const RunDirectory& run,
                                       const StopSignal& stop, Progress::Voice voice) {
  const fs::path folder = run.folder("features");
  std::vector<SliceFeatures> features;
  for (std::size_t m = 0; m < inputs.slice_models.size(); ++m) {
    const data::SliceSet slices = inputs.slices.of_studies(studies[m]);
    Progress progress("features", "slices", static_cast<std::int64_t>(slices.records.size()), 0, voice);
    features.push_back(
        slice_features(inputs.slice_models[m], context, slices, options, folder, [&](std::int64_t done) {
          progress.update(done);
          if (stop.received()) throw Stopped();
        }));
  }
  return features;
}

// A part that every slice model speaks of.
StudyPart part_of(const Inputs& inputs, const nn::Context& context, const std::vector<std::string>& studies,
                  FeatureOptions options, const RunDirectory& run, const StopSignal& stop,
                  Progress::Voice voice) {
  options.variants = 1;
  const std::vector<std::vector<std::string>> all(inputs.slice_models.size(), studies);
  return {.slices = inputs.slices.of_studies(studies),
          .features = features_of(inputs, context, all, options, run, stop, voice)};
}

void say_what_is_trained(const models::StudyModel& model, const StudyParts& parts) {
  std::int64_t parameters = 0;
  for (const nn::NamedParameter& named : model.named_parameters())
    parameters += named.parameter->shape().numel();
  const models::StudyConfig& config = model.config();
  fmt::print(stderr,
             "{}: {:.1f} k parameters over {} slices of {} features, {} slice model(s); {} training, {} "
             "validation, {} test studies\n",
             kProgram, static_cast<double>(parameters) / 1e3, config.planes, config.slice_features(),
             config.slice_models.size(), parts.split.train.size(), parts.split.validation.size(),
             parts.split.test.size());
}

// What a run is before it trains: its files, and what the slice models say.
void begin_run(const RunDirectory& run, const Inputs& inputs, const StudyOptions& options,
               const std::string& recipe, const std::vector<std::string>& command, const Device& device) {
  keep_slice_settings(inputs.slices, run.path() / "slices.json");
  write_split(run.path() / "split.json", inputs.parts.split);
  if (options.resume.empty()) write_text_file(run.path() / "recipe.toml", recipe);
  record_data(run.path(), inputs.slices, inputs.parts.split);
  record_session(run.path(), {.program = kProgram,
                              .command = command,
                              .device = describe(device),
                              .precision = options.device.precision,
                              .threads = cpu_threads()});
}

// The best checkpoint on the test patients.
void evaluate_best(const RunDirectory& run, const nn::Context& context, const StudyPart& validation,
                   const StudyPart& test, const StudyOptions& options) {
  nn::Context fresh(context.backend());
  const auto best = models::import_study_model(run.best(), fresh);
  evaluate_studies(
      *best, fresh, validation, test,
      {.model = run.best().string(),
       .bootstrap = {.replicates = static_cast<std::size_t>(options.bootstrap),
                     .seed = options.seed,
                     .threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()))}},
      run.folder("evaluation"));
  fmt::print("written: {0}/evaluation/evaluation.json, predictions.csv, patients.csv, examples.png\n",
             run.path().string());
}

void train(const StudyOptions& options, const std::string& recipe, const std::vector<std::string>& command) {
  const StopSignal stop;
  const auto say_stopped = [&](const fs::path& run) {
    fmt::print("stopped by {}; go on with: {} --resume {}\n", stop.received(), kProgram, run.string());
  };
  if (options.threads > 0) set_cpu_threads(options.threads);
  const OpenedDevice device = open_device(options.device);
  nn::Context slice_context(device.backend, device.dtype);
  const Inputs inputs = open_inputs(options, slice_context);
  const models::StudyConfig config = config_of(options, inputs);

  RunDirectory run =
      options.resume.empty() ? RunDirectory::create(options.out) : RunDirectory::open(options.out);
  if (run.has_checkpoint()) require_same_models(config, run.last());
  begin_run(run, inputs, options, recipe, command, device.backend.device());
  nn::Context context(device.backend);
  models::StudyModel model(config, context);
  nn::initialize(model, options.seed);
  if (!options.quiet) say_what_is_trained(model, inputs.parts);

  const Progress::Voice voice = options.quiet ? Progress::Voice::quiet : Progress::Voice::normal;
  const FeatureOptions reading{
      .variants = options.variants, .batch_size = options.feature_batch, .threads = options.loader_threads};
  try {
    const StudySplit& split = inputs.parts.split;
    const std::vector<SliceFeatures> seen =
        features_of(inputs, slice_context, inputs.parts.training, reading, run, stop, voice);
    const StudyPart validation = part_of(inputs, slice_context, split.validation, reading, run, stop, voice);
    const StudyData training_data(inputs.slices.of_studies(split.train), seen);
    const StudyData validation_data(validation.slices, validation.features);
    StudyTrainer trainer(model, context, training_data, validation_data, options, run, &stop);
    if (run.has_checkpoint()) trainer.resume();
    if (trainer.run() == StudyTrainer::Outcome::stopped) return say_stopped(run.path());
    fmt::print("best epoch {} with validation loss {:.5f}: {}\n", trainer.best_epoch(), trainer.best_loss(),
               run.best().string());
    const StudyPart test = part_of(inputs, slice_context, split.test, reading, run, stop, voice);
    evaluate_best(run, context, validation, test, options);
    write_report({.runs = {run.path()}, .out = run.path() / "report.html"});
  } catch (const Stopped&) {
    say_stopped(run.path());
  }
}

// The options a run was started with, read back from its recipe.
StudyOptions options_of_run(const fs::path& run) {
  StudyOptions options;
  CLI::App app;
  add_study_options(app, options);
  parse_recipe_of_run(app, run);
  options.out = run.string();  // the run may have been moved
  return options;
}

}  // namespace

int train_study_main(int argc, char** argv) {
  StudyOptions options;
  CLI::App app(
      "Trains a small transformer over the slices of a study, on what trained slice models say of them, to "
      "find fractures of C1..C7 and in the patient as a whole; then evaluates it on the test patients.\n"
      "Start:  train_study --slice-model RUN/best --data SLICES --out RUN2\n"
      "Go on:  train_study --resume RUN2",
      kProgram);
  add_study_options(app, options);
  return run_main(app, argc, argv, [&] {
    if (!options.resume.empty()) {
      require(options.out.empty() && options.data.empty(),
              "--resume takes its options from the run; give it alone, or with --device or --quiet");
      const StudyOptions given = options;
      options = options_of_run(given.resume);
      options.resume = given.resume;
      if (app.get_option("--device")->count() > 0) options.device.device = given.device.device;
      options.quiet = given.quiet;
    }
    check_study_options(options);
    train(options, app.config_to_str(true), std::vector<std::string>(argv, argv + argc));
    return 0;
  });
}

}  // namespace sagitta::apps
