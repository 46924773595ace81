#include "apps/train/train_app.h"

#include <CLI/CLI.hpp>

#include "apps/engine/main_guard.h"
#include "apps/engine/recipe.h"
#include "apps/engine/slices.h"
#include "apps/evaluate/evaluate_app.h"
#include "apps/report/report.h"
#include "apps/train/run_record.h"
#include "apps/train/trainer.h"
#include "data/shuffle.h"
#include "models/hugging_face.h"
#include "tensor/atomic_file.h"
#include "tensor/cpu_options.h"
#include "tensor/error.h"
#include "tensor/observed_backend.h"

namespace sagitta::apps {
namespace {

namespace fs = std::filesystem;

// The options a run was started with, read back from its recipe.
TrainOptions options_of_run(const fs::path& run, const TrainProgram& program) {
  TrainOptions options;
  options.arch = program.default_arch;
  CLI::App app;
  add_train_options(app, options);
  parse_recipe_of_run(app, run);
  options.out = run.string();  // the run may have been moved
  return options;
}

fs::path directory_of_weights(const fs::path& weights) {
  return fs::is_directory(weights) ? weights : weights.parent_path();
}

models::ModelConfig model_config(const TrainOptions& options, const TrainProgram& program) {
  // Weights bring their config.json; a bare file of weights is what --arch says it is.
  const bool has_config =
      !options.weights.empty() && fs::exists(directory_of_weights(options.weights) / "config.json");
  models::ModelConfig config =
      has_config ? models::read_model_config(options.weights) : models::config_for(options.arch);
  const bool is_resnet = config.resnet() != nullptr;
  require(is_resnet == (program.arch_prefix == "resnet-"), "{}: {} is {}; use {}", program.name,
          has_config ? options.weights : options.arch, is_resnet ? "a ResNet" : "a ViT",
          is_resnet ? "train_resnet" : "train_vit");
  require(
      (options.layers == 0 && options.initializer_range == 0) || (!is_resnet && options.weights.empty()),
      "--layers and --initializer-range are for a ViT from random values, which {} is not; leave them out",
      options.weights.empty() ? options.arch : options.weights);
  config.labels = options.labels;
  config.problem_type = models::ProblemType::multi_label_classification;
  if (options.image_size > 0) config.image_size = options.image_size;
  if (auto* vit = std::get_if<models::ViTConfig>(&config.architecture)) {
    vit->hidden_dropout_prob = vit->attention_probs_dropout_prob = options.dropout;
    if (options.layers > 0) vit->num_hidden_layers = options.layers;
    if (options.initializer_range > 0) vit->initializer_range = options.initializer_range;
  }
  return config;
}

models::Preprocessor model_preprocessor(const models::ModelConfig& config, const std::string& weights) {
  models::Preprocessor preprocessor = models::default_preprocessor(config);
  const fs::path file = directory_of_weights(weights) / "preprocessor_config.json";
  if (!weights.empty() && fs::exists(file)) {
    const models::Preprocessor given = models::read_preprocessor(file);
    preprocessor.mean = given.mean;
    preprocessor.std = given.std;
  }
  preprocessor.size = config.image_size;
  preprocessor.crop_pct = 1;  // slices are letterboxed, nothing is cut off
  return preprocessor;
}

StudySplit settle_split(const fs::path& file, const data::SliceSet& slices, const TrainOptions& options) {
  if (fs::exists(file)) return read_split(file);
  const SplitOptions how = split_options_of(options);
  StudySplit split = options.split.empty() ? split_slices(slices, how) : read_split(options.split);
  if (!options.split.empty() && how.folds > 0) split = hold_out_fold(slices, std::move(split), how);
  write_split(file, split);
  return split;
}

// The slices of --overfit-batch: one batch in the order of the first epoch, to train and to validate on.
Trainer::Data one_batch(const data::SliceSet& slices, const TrainOptions& options) {
  data::SliceSet batch{.root = slices.root, .records = {}};
  const auto count = static_cast<std::size_t>(options.batch_size);
  for (const std::size_t i : data::shuffled(slices.records.size(), {.seed = options.seed}))
    if (batch.records.size() < count) batch.records.push_back(slices.records[i]);
  return {batch, batch};
}

Trainer::Data data_of(const data::SliceSet& slices, const StudySplit& split, const TrainOptions& options) {
  const data::SliceSet training = slices.of_studies(split.train);
  if (options.overfit_batch) return one_batch(training, options);
  return {training, slices.of_studies(split.validation)};
}

void say_what_is_trained(const models::ImageClassifier& model, const StudySplit& split,
                         const TrainProgram& program) {
  std::int64_t parameters = 0;
  for (const nn::NamedParameter& named : model.named_parameters())
    parameters += named.parameter->shape().numel();
  const models::ModelConfig& config = model.config();
  fmt::print(
      stderr,
      "{}: {:.2f} M parameters, {} labels, {} x {} pixels; {} training, {} validation, {} test studies\n",
      program.name, static_cast<double>(parameters) / 1e6, config.num_labels(), config.image_size,
      config.image_size, split.train.size(), split.validation.size(), split.test.size());
}

// What a run ends with: its best checkpoint on the validation patients, with intervals and examples, in its
// report. The run is complete without it.
void evaluate_best(const RunDirectory& run, const data::SliceSet& slices, const TrainOptions& options) {
  try {
    EvaluateOptions evaluation;
    evaluation.models = {run.best().string()};
    evaluation.data = slices.root.string();
    evaluation.out = (run.path() / "validation").string();
    evaluation.split = "validation";
    evaluation.device = options.device;
    evaluation.scoring.reading = {
        .batch_size = options.batch_size, .threads = options.loader_threads, .quiet = options.session.quiet};
    evaluation.quiet = true;
    run_evaluate(evaluation);
    write_report({.runs = {run.path()}, .out = run.path() / "report.html"});
  } catch (const Error& error) {
    fmt::print(
        stderr,
        "warning: the best checkpoint was not evaluated ({}); do it with: evaluate --model {} --data {}\n",
        error.what(), run.best().string(), slices.root.string());
  }
}

void train(const TrainOptions& options, const TrainProgram& program, const std::string& recipe,
           const std::vector<std::string>& command) {
  const StopSignal stop;
  const bool resuming = !options.resume.empty();
  if (options.threads > 0) set_cpu_threads(options.threads);
  if (!options.weights.empty()) (void)models::open_checkpoint(options.weights);  // damaged ones end here
  const models::ModelConfig config = model_config(options, program);
  const OpenedDevice device = open_device(options.device);
  const models::Preprocessor preprocessor = model_preprocessor(config, options.weights);

  RunDirectory run = resuming ? RunDirectory::open(options.out) : RunDirectory::create(options.out);
  const data::SliceSet slices = open_slices({.data = options.data,
                                             .cache = run.path() / "slices",
                                             .slices = options.slices,
                                             .span_mm = options.span_mm,
                                             .window = options.window,
                                             .channels = options.channels,
                                             .size = static_cast<int>(config.image_size)});
  keep_slice_settings(slices, run.path() / "slices.json");
  const StudySplit split = settle_split(run.path() / "split.json", slices, options);
  const bool is_run = !options.session.find_lr;  // trying learning rates leaves the directory free for a run
  if (!resuming && is_run) write_text_file(run.path() / "recipe.toml", recipe);
  if (is_run) record_data(run.path(), slices, split);
  if (is_run)
    record_session(run.path(), {.program = program.name,
                                .command = command,
                                .device = describe(device.backend.device()),
                                .precision = options.device.precision,
                                .threads = cpu_threads()});

  ObservedBackend backend(
      device.backend);  // so that a step can be traced, drawn and searched for its first NaN
  nn::Context context(backend, device.dtype);
  const auto model = models::make_classifier(config, context, {.recompute = options.recompute});
  nn::initialize(*model, options.seed);
  if (!options.weights.empty() && !run.has_checkpoint())
    for (const std::string& message :
         models::load_weights(*model, options.weights, {.new_head = true, .resize_positions = true}))
      fmt::print(stderr, "note: {}\n", message);
  if (!options.session.quiet) say_what_is_trained(*model, split, program);

  TrainOptions settled = options;
  if (options.overfit_batch) {
    settled.augment = {};
    settled.mix = {};
  }
  Trainer trainer(*model, context, preprocessor, data_of(slices, split, options), settled, run, &stop);
  if (options.session.find_lr) {
    const std::vector<LrTrial> trials = trainer.find_learning_rate();
    write_lr_finder(run.path(), trials);
    fmt::print("the loss falls fastest at a learning rate of {:.1e}; the plot: {}\n", steepest_rate(trials),
               (run.path() / "lr_finder.html").string());
    return;
  }
  if (run.has_checkpoint()) trainer.resume();
  if (trainer.run() == Trainer::Outcome::stopped) {
    fmt::print("stopped by {} at epoch {}, step {}; go on with: {} --resume {}\n", stop.received(),
               trainer.epoch(), trainer.step(), program.name, run.path().string());
    return;
  }
  if (!options.overfit_batch) evaluate_best(run, slices, options);
  fmt::print("best epoch {} with validation {}: {}\npeak tensor memory {}\n", trainer.best_epoch(),
             trainer.best_text(), run.best().string(),
             format_bytes(static_cast<double>(device.backend.memory_use().peak)));
  fmt::print("report: {}\n", (run.path() / "report.html").string());
}

}  // namespace

int train_main(const TrainProgram& program, int argc, char** argv) {
  TrainOptions options;
  options.arch = program.default_arch;
  CLI::App app(program.description, program.name);
  add_train_options(app, options);
  return run_main(app, argc, argv, [&] {
    if (!options.resume.empty()) {
      const std::string run = options.resume;
      require(options.out.empty() && options.data.empty(),
              "--resume takes its options from the run; give it alone, or with --device, --quiet, --trace, "
              "--graph");
      const DeviceOptions device = options.device;
      const TrainOptions::Session session = options.session;
      options = options_of_run(run, program);
      options.resume = run;
      // A run may go on elsewhere: what it computes on is the machine's affair, in which precision is not.
      if (app.get_option("--device")->count() > 0) options.device.device = device.device;
      options.session = session;
    }
    check_train_options(options);
    train(options, program, app.config_to_str(true), std::vector<std::string>(argv, argv + argc));
    return 0;
  });
}

}  // namespace sagitta::apps
