#include "apps/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/engine/slices.h"
#include "apps/report/report.h"
#include "apps/train/epoch_result.h"
#include "apps/train/fine_tuning.h"
#include "apps/train/label_balance.h"
#include "apps/train/not_finite.h"
#include "apps/train/training_pictures.h"
#include "models/hugging_face.h"
#include "nn/checkpoint.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The model with its parts frozen as the run begins, before the optimizer looks at it.
models::ImageClassifier& frozen(models::ImageClassifier& model, const TrainOptions& options) {
  freeze(model, options.freeze);
  return model;
}

}  // namespace

Trainer::Trainer(models::ImageClassifier& model, nn::Context& context,
                 const models::Preprocessor& preprocessor, Data data, const TrainOptions& options,
                 RunDirectory& run, const StopSignal* stop)
    : model_(model),
      context_(context),
      preprocessor_(preprocessor),
      data_(std::move(data)),
      options_(options),
      run_(run),
      stop_(stop),
      input_options_(training_input()),
      pos_weights_(options.pos_weight == "balanced"
                       ? balanced_weights(data_.train, input_options_.loader.labels)
                       : std::vector<float>()),
      step_(frozen(model, options), context, input_options_.normalization, options, pos_weights_),
      schedule_(schedule_of(options)),
      loader_(data_.train, input_options_.loader),
      is_frozen_(options.freeze != "none") {
  const auto count = static_cast<std::int64_t>(data_.train.records.size());
  require(count >= options_.batch_size, "--batch-size {} is more than the {} training slices",
          options_.batch_size, count);
  if (schedule_.unit == nn::Schedule::Unit::step) schedule_.total *= static_cast<double>(steps_per_epoch());
  run_.keep_checkpoints(options_.keep_checkpoints);
  if (options_.limit_batches > 0) {
    const auto limit = static_cast<std::size_t>(options_.limit_batches * options_.batch_size);
    data_.validation.records.resize(std::min(data_.validation.records.size(), limit));
  }
}

InputOptions Trainer::training_input() const {
  InputOptions input = input_options(model_.config(), preprocessor_);
  data::LoaderOptions& loader = input.loader;
  loader.batch_size = options_.batch_size;
  loader.max_batches = options_.limit_batches;
  loader.shuffle = loader.drop_last = true;
  loader.augment = options_.augment;
  loader.mix = options_.mix;
  loader.label_smoothing = options_.label_smoothing;
  loader.seed = options_.seed;
  loader.threads = options_.loader_threads;
  return input;
}

// A last group of batches that is smaller than --accumulate still makes a step.
std::int64_t Trainer::steps_per_epoch() const {
  return (batches_per_epoch() + options_.accumulate - 1) / options_.accumulate;
}

double Trainer::learning_rate() const { return schedule_.at(position_.optimizer_steps, steps_per_epoch()); }

std::int64_t Trainer::first_step_of_optimizer() const {
  return options_.freeze == "none" || is_frozen_ ? 0 : options_.freeze_epochs * steps_per_epoch();
}

// A function of the epoch alone, and settled as soon as it turns: a checkpoint between two epochs holds the
// optimizer of the one that begins.
void Trainer::settle_freezing() {
  const bool is_over = options_.freeze_epochs > 0 && position_.epoch >= options_.freeze_epochs;
  if (!is_frozen_ || !is_over) return;
  unfreeze(model_);
  step_.restart();
  is_frozen_ = false;
}

void Trainer::resume() {
  const std::filesystem::path checkpoint = run_.last();
  models::load_weights(model_, checkpoint);
  position_ = read_trainer_state(checkpoint);
  settle_freezing();  // an optimizer that began anew did so before it had these moments
  read_trainer_tensors(checkpoint, kept_tensors());
  nn::refresh_copies(model_);
  run_.truncate_log(position_.log_bytes);
  if (!options_.session.quiet)
    fmt::print(stderr, "resuming {} at epoch {}, step {}\n", run_.path().string(), position_.epoch + 1,
               position_.optimizer_steps);
}

void Trainer::warn_of_labels() {
  const std::vector<std::string> names = labels_without_positives(data_.train, input_options_.loader.labels);
  if (!names.empty())
    notices_.warn_once(fmt::format("no training slice is positive for {}, which can therefore not be learned",
                                   fmt::join(names, ", ")),
                       "add studies, or leave it out of --labels");
}

std::vector<LrTrial> Trainer::find_learning_rate() {
  model_.train();
  return apps::find_learning_rate(step_, loader_, options_.seed);
}

Trainer::Outcome Trainer::run() {
  warn_of_labels();
  log_ = std::make_unique<RunLog>(run_, position_.optimizer_steps);
  begin_trace();
  if (!options_.session.graph.empty()) step_.draw_graph(options_.session.graph);
  model_.train();
  try {
    while (!is_finished()) {
      train_epoch();
      if (stop_ && stop_->received()) throw Stopped();
      // The next epoch's first batches are made while this one is validated.
      if (position_.epoch + 1 < options_.epochs) loader_.start(position_.epoch + 1);
      finish_epoch();
    }
  } catch (const Stopped&) {
    finish_trace(true);
    write_checkpoint(false);
    log_->add({{"type", "end"}, {"outcome", "stopped"}, {"step", position_.optimizer_steps}});
    render_report(false);
    return Outcome::stopped;
  }
  finish_trace(true);
  log_->add({{"type", "end"}, {"outcome", "finished"}, {"step", position_.optimizer_steps}});
  log_->end();
  render_report(false);
  return Outcome::finished;
}

void Trainer::train_epoch() {
  loader_.start(position_.epoch, position_.batch);
  EpochWatch watch({.step = step_,
                    .context = context_,
                    .options = options_,
                    .run = run_,
                    .log = *log_,
                    .notices = notices_},
                   position_, batches_per_epoch());
  std::optional<LaunchedBatch> running;
  while (true) {
    const auto turn = step_.phases().step(position_.micro_steps);
    const Clock::time_point before = Clock::now();
    std::optional<data::Batch> batch;
    {
      const auto phase = step_.phases().phase("data wait");
      batch = loader_.next();
    }
    watch.waited(seconds_since(before));
    if (!batch) break;
    step_.upload(*batch);  // while the device still computes the batch before
    std::optional<MeasuredBatch> done;
    if (running) done = watch.measure(*running);
    running = launch(std::move(*batch));
    finish_trace(false);
    if (position_.micro_steps == 1) show_first_batch(running->pictures);
    if (done) report(watch, *done);
    if (!running->last_of_step || position_.batch == batches_per_epoch()) continue;
    const bool is_due =
        options_.checkpoint_steps > 0 && position_.optimizer_steps % options_.checkpoint_steps == 0;
    const bool is_stopping = stop_ && stop_->received();
    if (is_due || is_stopping) report(watch, watch.measure(*std::exchange(running, std::nullopt)));
    if (is_stopping) break;  // run() writes the checkpoint
    if (is_due) write_checkpoint(false);
  }
  if (running) report(watch, watch.measure(*running));
}

LaunchedBatch Trainer::launch(data::Batch batch) {
  LaunchedBatch launched{.number = position_.batch + 1,
                         .optimizer_step = position_.optimizer_steps + 1,
                         .last_of_step = (position_.batch + 1) % options_.accumulate == 0 ||
                                         position_.batch + 1 == batches_per_epoch(),
                         .learning_rate = learning_rate(),
                         .pictures = std::move(batch)};
  const std::int64_t own_step = launched.optimizer_step - first_step_of_optimizer();
  step_.launch({.state = {.seed = options_.seed,
                          .micro_step = static_cast<std::uint32_t>(position_.micro_steps),
                          .optimizer_step = static_cast<std::uint32_t>(own_step),
                          .learning_rate = launched.learning_rate},
                .first_of_step = position_.batch % options_.accumulate == 0,
                .last_of_step = launched.last_of_step});
  ++position_.batch;
  ++position_.micro_steps;
  position_.optimizer_steps += launched.last_of_step;
  return launched;
}

void Trainer::report(EpochWatch& watch, const MeasuredBatch& measured) {
  position_.sum_of_losses += measured.loss;
  watch.report(measured);
}

void Trainer::begin_trace() {
  auto* backend = dynamic_cast<ObservedBackend*>(&context_.backend());
  if (options_.session.trace.empty() || !backend) return;
  names_.emplace(model_);
  constexpr std::int64_t kWarmUp = 2;  // steps in which memory is allocated and algorithms are chosen
  trace_.emplace(*backend, *names_, step_.phases(),
                 StepTraceOptions{.first_step = position_.micro_steps + kWarmUp,
                                  .steps = options_.session.trace_steps,
                                  .process = "training"});
}

void Trainer::finish_trace(bool is_last) {
  if (!trace_ || !(is_last || trace_->is_complete())) return;
  trace_->write(options_.session.trace);
  trace_.reset();
  if (!options_.session.quiet)
    notices_.note("written: " + options_.session.trace + "; open it at ui.perfetto.dev");
}

void Trainer::show_first_batch(const data::Batch& batch) {
  if (EventFile::is_available())
    log_->add_image(1, "training/first_batch",
                    batch_picture(batch, model_.config().labels, options_.label_smoothing / 2));
}

Predictions Trainer::validate(Progress& progress) {
  const nn::AverageInModel average(step_.average(), position_.optimizer_steps);
  return predict(model_, context_, data_.validation, input_options_, [&](std::int64_t done) {
    progress.update(done);
    if (stop_ && stop_->received()) throw Stopped();
  });
}

void Trainer::finish_epoch() {
  const Clock::time_point start = Clock::now();
  Progress progress("validation", "images", static_cast<std::int64_t>(data_.validation.records.size()), 0,
                    voice());
  const Predictions predictions = validate(progress);
  EpochResult result{.training_loss = position_.sum_of_losses / static_cast<double>(batches_per_epoch()),
                     .validation_loss = mean_bce(predictions, pos_weights_),
                     .areas = label_areas(predictions)};
  result.validation_seconds = seconds_since(start);
  if (!std::isfinite(result.validation_loss))
    fail_not_finite("validation loss", result.validation_loss, position_.epoch + 1, position_.optimizer_steps,
                    run_);
  const bool is_best =
      position_.settle_best(options_.best_by == "auroc" ? -result.areas.macro() : result.validation_loss);
  progress.note(fmt::format("epoch {}: {}", position_.epoch + 1, result.text(is_best)));
  log_->add_predictions(position_.optimizer_steps, predictions, model_.config().labels);
  nlohmann::ordered_json entry = result.json(position_, model_.config().labels);
  entry["peak_memory_mb"] = static_cast<double>(context_.backend().memory_use().peak) / 1e6;
  log_->add(entry);
  ++position_.epoch;
  position_.batch = 0;
  position_.sum_of_losses = 0;
  settle_freezing();
  if (EventFile::is_available() && shows_hardest(position_.epoch, is_finished()))
    log_->add_image(position_.optimizer_steps, "validation/highest_loss",
                    hardest_picture(data_.validation, predictions, model_.config().labels, pos_weights_));
  write_checkpoint(is_best);
  if (!is_finished()) render_report(true);
}

// A page that cannot be made is no reason to lose a run.
void Trainer::render_report(bool goes_on) {
  if (!std::filesystem::exists(run_.path() / "recipe.toml")) return;  // a run of a test has no recipe
  try {
    write_report({.runs = {run_.path()}, .out = run_.path() / "report.html", .refreshes = goes_on});
  } catch (const Error& error) {
    notices_.warn_once(fmt::format("report.html was not written ({})", error.what()),
                       "the run goes on; make it later with: report " + run_.path().string());
  }
}

std::string Trainer::best_text() const {
  return options_.best_by == "auroc" ? fmt::format("macro AUROC {:.4f}", -position_.best_value)
                                     : fmt::format("loss {:.5f}", position_.best_value);
}

void Trainer::write_checkpoint(bool is_best) {
  const nn::AverageInModel average(step_.average(), position_.optimizer_steps);
  position_.log_bytes = run_.log_bytes();
  run_.write_checkpoint(position_.optimizer_steps, is_best, [&](const std::filesystem::path& directory) {
    models::export_model(model_, preprocessor_, directory);
    keep_origin(run_.path(), directory);
    write_trainer_state(directory, kept_tensors(), position_);
  });
}

}  // namespace sagitta::apps
