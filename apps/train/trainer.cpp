#include "apps/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "apps/engine/json_number.h"
#include "apps/engine/label_areas.h"
#include "apps/engine/slices.h"
#include "apps/report/report.h"
#include "apps/train/fine_tuning.h"
#include "models/hugging_face.h"
#include "nn/checkpoint.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Negatives per positive of each label, which makes both sides weigh the same in the loss.
std::vector<float> balanced_weights(const data::SliceSet& slices, const std::vector<std::size_t>& labels) {
  std::vector<float> weights;
  for (std::size_t label : labels) {
    double positives = 0;
    for (const data::SliceRecord& record : slices.records) positives += record.labels[label];
    const double negatives = static_cast<double>(slices.records.size()) - positives;
    // A label without positives or negatives has no balance to restore.
    weights.push_back(positives > 0 && negatives > 0 ? static_cast<float>(negatives / positives) : 1.0F);
  }
  return weights;
}

// The model with its parts frozen as the run begins, before the optimizer looks at it.
models::ImageClassifier& frozen(models::ImageClassifier& model, const TrainOptions& options) {
  freeze(model, options.freeze);
  return model;
}

// Below this a loss scale cannot help: the gradient itself, not its multiple, is too large for f16.
constexpr double kSmallestLossScale = 0x1p-10;

// From here on waiting for data is worth a warning: share of the time, and how long it has been looked at.
constexpr double kLongWait = 0.1, kSecondsToJudge = 10;

}  // namespace

struct Trainer::EpochState {
  Progress progress;
  std::int64_t first_image = 0;   // where this program took it up
  std::int64_t images_after = 0;  // of the epochs that follow
  Clock::time_point start = Clock::now();
  double seconds_waited = 0;  // for the loader

  double wait_share() const { return seconds_waited / seconds_since(start); }
};

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

std::int64_t Trainer::batches_per_epoch() const { return loader_.batches_per_epoch(); }

// A last group of batches that is smaller than --accumulate still makes a step.
std::int64_t Trainer::steps_per_epoch() const {
  return (batches_per_epoch() + options_.accumulate - 1) / options_.accumulate;
}

double Trainer::learning_rate() const { return schedule_.at(position_.optimizer_steps, steps_per_epoch()); }

std::int64_t Trainer::first_step_of_optimizer() const {
  return options_.freeze == "none" || is_frozen_ ? 0 : options_.freeze_epochs * steps_per_epoch();
}

// A function of the epoch alone, so that a resumed run finds it as it was.
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
  read_trainer_tensors(checkpoint, tensors_to_keep());
  nn::refresh_copies(model_);
  run_.truncate_log(position_.log_bytes);
  if (!options_.session.quiet)
    fmt::print(stderr, "resuming {} at epoch {}, step {}\n", run_.path().string(), position_.epoch + 1,
               position_.optimizer_steps);
}

NamedTensors Trainer::tensors_to_keep() {
  NamedTensors tensors = step_.optimizer().state();
  if (step_.average()) {
    const NamedTensors average = step_.average()->state();
    tensors.insert(tensors.end(), average.begin(), average.end());
  }
  return tensors;
}

bool Trainer::is_finished() const {
  const bool is_patient = options_.patience == 0 || position_.best_epoch < 0 ||
                          position_.epoch - 1 - position_.best_epoch < options_.patience;
  return position_.epoch >= options_.epochs || !is_patient;
}

void Trainer::warn_of_labels() {
  std::string unseen;
  const data::LoaderOptions& loader = input_options_.loader;
  for (std::size_t i = 0; i < loader.labels.size(); ++i) {
    const auto is_positive = [&](const data::SliceRecord& record) {
      return record.labels[loader.labels[i]] > 0;
    };
    if (std::none_of(data_.train.records.begin(), data_.train.records.end(), is_positive))
      unseen += (unseen.empty() ? "" : ", ") + model_.config().labels[i];
  }
  if (!unseen.empty())
    warn_once("no training slice is positive for " + unseen + ", which can therefore not be learned",
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
      settle_freezing();
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
  const std::int64_t batches = batches_per_epoch(), images = batches * options_.batch_size;
  loader_.start(position_.epoch, position_.batch);
  EpochState epoch{.progress{fmt::format("epoch {}/{}", position_.epoch + 1, options_.epochs), "images",
                             images, position_.batch * options_.batch_size,
                             options_.session.quiet ? Progress::Voice::quiet : Progress::Voice::normal},
                   .first_image = position_.batch * options_.batch_size,
                   .images_after = (options_.epochs - position_.epoch - 1) * images};
  shown_ = &epoch.progress;
  std::optional<Launched> running;
  while (true) {
    const auto turn = step_.phases().step(position_.micro_steps);
    const Clock::time_point before = Clock::now();
    std::optional<data::Batch> batch;
    {
      const auto phase = step_.phases().phase("data wait");
      batch = loader_.next();
    }
    epoch.seconds_waited += seconds_since(before);
    if (!batch) break;
    step_.upload(*batch);  // while the device still computes the batch before
    std::optional<Measured> done;
    if (running) done = measure(*running);
    running = launch();
    launched_batch_ = std::move(batch);
    finish_trace(false);
    if (done) report(epoch, *done);
    if (!running->last_of_step || position_.batch == batches) continue;
    const bool is_due =
        options_.checkpoint_steps > 0 && position_.optimizer_steps % options_.checkpoint_steps == 0;
    const bool is_stopping = stop_ && stop_->received();
    if (is_due || is_stopping) report(epoch, measure(*std::exchange(running, std::nullopt)));
    if (is_stopping) break;  // run() writes the checkpoint
    if (is_due) write_checkpoint(false);
  }
  if (running) report(epoch, measure(*running));
  shown_ = nullptr;
}

Trainer::Launched Trainer::launch() {
  const Launched launched{.batch = position_.batch + 1,
                          .optimizer_step = position_.optimizer_steps + 1,
                          .last_of_step = (position_.batch + 1) % options_.accumulate == 0 ||
                                          position_.batch + 1 == batches_per_epoch(),
                          .learning_rate = learning_rate()};
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
  if (!options_.session.quiet) note("written: " + options_.session.trace + "; open it at ui.perfetto.dev");
}

Trainer::Measured Trainer::measure(const Launched& launched) {
  Measured measured{.launched = launched, .loss = step_.loss(), .loss_scale = {}};
  check_finite(measured.loss, "loss", launched.optimizer_step);
  if (!launched.last_of_step) return measured;
  measured.gradient_norm = step_.gradient_norm();
  measured.loss_scale = step_.loss_scale();
  if (!measured.loss_scale) check_finite(measured.gradient_norm, "gradient norm", launched.optimizer_step);
  require(measured.loss_scale.value_or(1) >= kSmallestLossScale,
          "the gradient overflows fp16 whatever the loss scale, at epoch {}, step {}: training stopped; use "
          "--precision bf16",
          position_.epoch + 1, launched.optimizer_step);
  return measured;
}

void Trainer::report(EpochState& epoch, const Measured& measured) {
  const Launched& launched = measured.launched;
  position_.sum_of_losses += measured.loss;
  const std::int64_t done = launched.batch * options_.batch_size;
  const double wait_share = epoch.wait_share();
  const double rate = static_cast<double>(done - epoch.first_image) / seconds_since(epoch.start);
  const std::int64_t left = batches_per_epoch() * options_.batch_size - done + epoch.images_after;
  const double memory = static_cast<double>(context_.backend().memory_use().peak);
  epoch.progress.update(
      done, fmt::format("step {}  loss {:.4f}  lr {:.2e}  wait {:.0f}%  {}  run {} left",
                        launched.optimizer_step, measured.loss, launched.learning_rate, 100 * wait_share,
                        format_bytes(memory), format_duration(static_cast<double>(left) / rate)));
  if (wait_share > kLongWait && seconds_since(epoch.start) > kSecondsToJudge)
    warn_once(fmt::format("training waits for data {:.0f}% of the time", 100 * wait_share),
              "raise --loader-threads, or cut the slices to the network's size with reslice --size");
  if (!launched.last_of_step || launched.optimizer_step % options_.log_every != 0) return;
  Json entry{{"type", "step"},
             {"epoch", position_.epoch + 1},
             {"step", launched.optimizer_step},
             {"loss", measured.loss},
             {"lr", launched.learning_rate},
             {"gradient_norm", number(measured.gradient_norm)},
             {"images_per_second", rate},
             {"wait_share", wait_share}};
  if (measured.loss_scale) {
    entry["loss_scale"] = *measured.loss_scale;
    entry["skipped"] = !std::isfinite(measured.gradient_norm);
  }
  log_->add(entry);
}

void Trainer::check_finite(double value, const char* what, std::int64_t step) {
  if (std::isfinite(value)) return;
  const bool can_look = launched_batch_ && dynamic_cast<ObservedBackend*>(&context_.backend());
  const std::string origin = can_look ? "; where it began: " + step_.first_not_finite(*launched_batch_) : "";
  const std::string checkpoint = run_.has_checkpoint() ? "the last good checkpoint is " + run_.last().string()
                                                       : "there is no checkpoint yet";
  fail("the {} is {} at epoch {}, step {}: training stopped, {}; try a lower --lr, or --clip-norm 1{}", what,
       value, position_.epoch + 1, step, checkpoint, origin);
}

void Trainer::finish_epoch() {
  launched_batch_.reset();
  const Clock::time_point start = Clock::now();
  Progress progress("validation", "images", static_cast<std::int64_t>(data_.validation.records.size()), 0,
                    options_.session.quiet ? Progress::Voice::quiet : Progress::Voice::normal);
  const Predictions predictions = [&] {
    const nn::AverageInModel average(step_.average(), position_.optimizer_steps);
    return predict(model_, context_, data_.validation, input_options_, [&](std::int64_t done) {
      progress.update(done);
      if (stop_ && stop_->received()) throw Stopped();
    });
  }();
  const double loss = mean_bce(predictions, pos_weights_);
  const double training_loss = position_.sum_of_losses / static_cast<double>(batches_per_epoch());
  check_finite(loss, "validation loss", position_.optimizer_steps);
  const LabelAreas areas = label_areas(predictions);
  const double area = areas.macro();
  const bool is_best = settle_best(options_.best_by == "auroc" ? -area : loss);
  progress.note(fmt::format("epoch {}: training loss {:.4f}, validation loss {:.4f}, macro AUROC {:.3f}{}",
                            position_.epoch + 1, training_loss, loss, area, is_best ? " (best)" : ""));
  log_->add_predictions(position_.optimizer_steps, predictions, model_.config().labels);
  log_->add({{"type", "epoch"},
             {"epoch", position_.epoch + 1},
             {"step", position_.optimizer_steps},
             {"training_loss", training_loss},
             {"validation_loss", loss},
             {"validation_macro_auroc", number(area)},
             {"validation_auroc", areas.json(model_.config().labels)},
             {"validation_seconds", seconds_since(start)},
             {"peak_memory_mb", static_cast<double>(context_.backend().memory_use().peak) / 1e6}});
  ++position_.epoch;
  position_.batch = 0;
  position_.sum_of_losses = 0;
  write_checkpoint(is_best);
  if (!is_finished()) render_report(true);
}

// A page that cannot be made is no reason to lose a run.
void Trainer::render_report(bool goes_on) {
  if (!std::filesystem::exists(run_.path() / "recipe.toml")) return;  // a run of a test has no recipe
  try {
    write_report({.runs = {run_.path()}, .out = run_.path() / "report.html", .refreshes = goes_on});
  } catch (const Error& error) {
    warn_once(fmt::format("report.html was not written ({})", error.what()),
              "the run goes on; make it later with: report " + run_.path().string());
  }
}

bool Trainer::settle_best(double value) {
  const bool is_best = position_.best_epoch < 0 || value < position_.best_value;
  if (!is_best) return false;
  // Until an AUROC is defined, any checkpoint is better than none.
  position_.best_value = std::isnan(value) ? std::numeric_limits<double>::max() : value;
  position_.best_epoch = position_.epoch;
  return true;
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
    write_trainer_state(directory, tensors_to_keep(), position_);
  });
}

void Trainer::warn_once(const std::string& what, const std::string& remedy) {
  if (warned_.insert(remedy).second) note(fmt::format("warning: {}; {}", what, remedy));
}

void Trainer::note(const std::string& line) const {
  if (shown_)
    shown_->warn(line);
  else
    fmt::print(stderr, "{}\n", line);
}

}  // namespace sagitta::apps
