#include "apps/train/trainer.h"

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/engine/progress.h"
#include "apps/train/trainer_state.h"
#include "autograd/ops.h"
#include "models/hugging_face.h"
#include "nn/metrics.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::unique_ptr<nn::Optimizer> make_optimizer(nn::ParameterArena& arena, const TrainOptions& o) {
  if (o.optimizer == "sgd")
    return std::make_unique<nn::Sgd>(
        arena, SgdParams{.momentum = o.momentum, .nesterov = o.nesterov, .max_norm = o.clip_norm});
  return std::make_unique<nn::Adam>(arena, AdamParams{.beta1 = o.beta1,
                                                      .beta2 = o.beta2,
                                                      .eps = o.eps,
                                                      .decoupled = o.optimizer == "adamw",
                                                      .max_norm = o.clip_norm});
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

// Below this a loss scale cannot help: the gradient itself, not its multiple, is too large for f16.
constexpr double kSmallestLossScale = 0x1p-10;

}  // namespace

struct Trainer::EpochState {
  Progress progress;
  Clock::time_point start = Clock::now();
  double seconds_waited = 0;  // for the loader
};

Trainer::Trainer(models::ImageClassifier& model, nn::Context& context,
                 const models::Preprocessor& preprocessor, Data data, const TrainOptions& options,
                 RunDirectory& run)
    : model_(model),
      context_(context),
      preprocessor_(preprocessor),
      data_(std::move(data)),
      options_(options),
      run_(run),
      arena_(model, options.weight_decay, decay_policy_of(options)),
      optimizer_(make_optimizer(arena_, options_)),
      schedule_(schedule_of(options)),
      input_options_(training_input()),
      loader_(data_.train, input_options_.loader),
      input_(context, options.batch_size, model.config().image_size, input_options_.normalization),
      step_state_(context.step_state()) {
  const auto count = static_cast<std::int64_t>(data_.train.records.size());
  require(count >= options_.batch_size, "--batch-size {} is more than the {} training slices",
          options_.batch_size, count);
  if (schedule_.unit == nn::Schedule::Unit::step) schedule_.total *= static_cast<double>(steps_per_epoch());
  if (options_.pos_weight == "balanced")
    pos_weights_ = balanced_weights(data_.train, input_options_.loader.labels);
  build_steps();
}

std::int64_t Trainer::batches_per_epoch() const { return loader_.batches_per_epoch(); }

// A last group of batches that is smaller than --accumulate still makes a step.
std::int64_t Trainer::steps_per_epoch() const {
  return (batches_per_epoch() + options_.accumulate - 1) / options_.accumulate;
}

double Trainer::learning_rate() const { return schedule_.at(position_.optimizer_steps, steps_per_epoch()); }

InputOptions Trainer::training_input() const {
  InputOptions input = input_options(model_.config(), preprocessor_);
  data::LoaderOptions& loader = input.loader;
  loader.batch_size = options_.batch_size;
  loader.shuffle = loader.drop_last = true;
  loader.augment = options_.augment;
  loader.seed = options_.seed;
  loader.threads = options_.loader_threads;
  return input;
}

// Two captured pieces of work on fixed memory: one micro-batch forward and backward, and one parameter
// update. A record is replayed whatever ran before, so neither goes by which gradients the host takes for
// filled: each says so itself.
void Trainer::build_steps() {
  Backend& backend = context_.backend();
  const std::int64_t labels = model_.config().num_labels();
  targets_ = Tensor(backend, {options_.batch_size, labels}, DType::f32);
  loss_ = Tensor(backend, {1}, DType::f32);
  seed_ = full(backend, {1}, DType::f32, 1.0 / static_cast<double>(options_.accumulate));
  if (!pos_weights_.empty()) pos_weight_ = from_host(backend, {labels}, pos_weights_);
  if (context_.dtype() == DType::f16) optimizer_->scale_loss();
  forward_backward_ = backend.capture([this] { forward_backward(); });
  update_ = backend.capture([this] {
    arena_.keep_gradients();  // forward_backward() leaves all of them filled
    optimizer_->step(step_state_);
  });
}

void Trainer::forward_backward() {
  Backend& backend = context_.backend();
  if (options_.accumulate > 1)
    arena_.keep_gradients();  // launch() has zeroed them
  else
    arena_.clear_gradients();
  const autograd::Variable logits = model_.logits(autograd::Variable(input_.normalize()));
  const autograd::Variable loss =
      autograd::bce_with_logits(autograd::cast(logits, DType::f32), targets_, pos_weight_);
  backend.convert(loss.value(), loss_);
  autograd::backward(loss, optimizer_->scaled_seed(seed_));
  arena_.complete_gradients();
}

void Trainer::resume() {
  const std::filesystem::path checkpoint = run_.last();
  models::load_weights(model_, checkpoint);
  const TrainerState state = read_trainer_state(checkpoint, *optimizer_);
  position_ = {.epoch = state.epoch,
               .batch = state.batch,
               .optimizer_steps = state.optimizer_steps,
               .micro_steps = state.micro_steps,
               .best_validation_loss = state.best_validation_loss,
               .best_epoch = state.best_epoch,
               .sum_of_losses = state.sum_of_losses};
  run_.truncate_log(state.log_bytes);
  fmt::print(stderr, "resuming {} at epoch {}, step {}\n", run_.path().string(), position_.epoch + 1,
             position_.optimizer_steps);
}

void Trainer::run() {
  model_.train();
  while (position_.epoch < options_.epochs) {
    train_epoch();
    // The next epoch's first batches are made while this one is validated.
    if (position_.epoch + 1 < options_.epochs) loader_.start(position_.epoch + 1);
    finish_epoch();
  }
  const MemoryUse memory = context_.backend().memory_use();
  fmt::print("best epoch {} with validation loss {:.5f}: {}\npeak tensor memory {:.0f} MB\n",
             position_.best_epoch + 1, position_.best_validation_loss, run_.best().string(),
             static_cast<double>(memory.peak) / 1e6);
}

void Trainer::train_epoch() {
  const std::int64_t batches = batches_per_epoch();
  loader_.start(position_.epoch, position_.batch);
  EpochState epoch{.progress{fmt::format("epoch {}/{}", position_.epoch + 1, options_.epochs), "images",
                             batches * options_.batch_size, position_.batch * options_.batch_size}};
  std::optional<Launched> running;
  while (true) {
    const Clock::time_point before = Clock::now();
    const std::optional<data::Batch> batch = loader_.next();
    epoch.seconds_waited += seconds_since(before);
    if (!batch) break;
    upload(*batch);  // while the device still computes the batch before
    std::optional<Measured> done;
    if (running) done = measure(*running);
    running = launch();
    if (done) report(epoch, *done);
    const bool is_due = options_.checkpoint_steps > 0 && running->last_of_step &&
                        position_.optimizer_steps % options_.checkpoint_steps == 0;
    if (!is_due || position_.batch == batches) continue;
    report(epoch, measure(*std::exchange(running, std::nullopt)));
    write_checkpoint(false);
  }
  if (running) report(epoch, measure(*running));
}

void Trainer::upload(const data::Batch& batch) {
  input_.upload(batch);
  context_.backend().write(batch.labels.data(), targets_);
}

Trainer::Launched Trainer::launch() {
  const Launched launched{.batch = position_.batch + 1,
                          .optimizer_step = position_.optimizer_steps + 1,
                          .last_of_step = (position_.batch + 1) % options_.accumulate == 0 ||
                                          position_.batch + 1 == batches_per_epoch(),
                          .learning_rate = learning_rate()};
  nn::write_step_state(step_state_, {.seed = options_.seed,
                                     .micro_step = static_cast<std::uint32_t>(position_.micro_steps),
                                     .optimizer_step = static_cast<std::uint32_t>(launched.optimizer_step),
                                     .learning_rate = launched.learning_rate});
  if (options_.accumulate > 1 && position_.batch % options_.accumulate == 0)
    context_.backend().fill(arena_.gradients(), 0);
  forward_backward_->replay();
  if (launched.last_of_step) update_->replay();
  ++position_.batch;
  ++position_.micro_steps;
  position_.optimizer_steps += launched.last_of_step;
  return launched;
}

Trainer::Measured Trainer::measure(const Launched& launched) const {
  Measured measured{.launched = launched, .loss = scalar_of(loss_)};
  check_finite(measured.loss, "loss", launched.optimizer_step);
  if (!launched.last_of_step) return measured;
  measured.gradient_norm = optimizer_->gradient_norm();
  if (!optimizer_->loss_scale()) {
    check_finite(measured.gradient_norm, "gradient norm", launched.optimizer_step);
    return measured;
  }
  measured.loss_scale = static_cast<double>(to_host<float>(optimizer_->loss_scale())[kLossScaleFactor]);
  require(measured.loss_scale >= kSmallestLossScale,
          "the gradient overflows fp16 whatever the loss scale, at epoch {}, step {}: training stopped; use "
          "--precision bf16",
          position_.epoch + 1, launched.optimizer_step);
  return measured;
}

void Trainer::report(EpochState& epoch, const Measured& measured) {
  const Launched& launched = measured.launched;
  position_.sum_of_losses += measured.loss;
  const double wait_share = epoch.seconds_waited / seconds_since(epoch.start);
  epoch.progress.update(launched.batch * options_.batch_size,
                        fmt::format("loss {:.4f}  lr {:.2e}  wait {:.0f}%", measured.loss,
                                    launched.learning_rate, 100 * wait_share));
  if (!launched.last_of_step) return;
  const bool is_finite = std::isfinite(measured.gradient_norm);
  Json entry{{"type", "step"},
             {"epoch", position_.epoch + 1},
             {"step", launched.optimizer_step},
             {"loss", measured.loss},
             {"lr", launched.learning_rate},
             {"gradient_norm", is_finite ? Json(measured.gradient_norm) : Json()},
             {"images_per_second", epoch.progress.rate()},
             {"wait_share", wait_share}};
  if (optimizer_->loss_scale()) {
    entry["loss_scale"] = measured.loss_scale;
    entry["skipped"] = !is_finite;
  }
  run_.log(entry);
}

void Trainer::check_finite(double value, const char* what, std::int64_t step) const {
  if (std::isfinite(value)) return;
  const std::string checkpoint = run_.has_checkpoint() ? "the last good checkpoint is " + run_.last().string()
                                                       : "there is no checkpoint yet";
  fail("the {} is {} at epoch {}, step {}: training stopped, {}; try a lower --lr, or --clip-norm 1", what,
       value, position_.epoch + 1, step, checkpoint);
}

void Trainer::finish_epoch() {
  Progress progress("validation", "images", static_cast<std::int64_t>(data_.validation.records.size()));
  const Predictions predictions = predict(model_, context_, data_.validation, input_options_,
                                          [&](std::int64_t done) { progress.update(done); });
  const double loss = mean_bce(predictions, pos_weights_);
  const double training_loss = position_.sum_of_losses / static_cast<double>(batches_per_epoch());
  check_finite(loss, "validation loss", position_.optimizer_steps);
  const std::vector<float> probabilities = predictions.probabilities();
  std::vector<double> areas;
  for (std::size_t label = 0; label < predictions.labels; ++label)
    areas.push_back(nn::auroc(nn::column(probabilities, predictions.labels, label),
                              nn::column(predictions.targets, predictions.labels, label)));
  const double area = nn::mean_defined(areas);
  const bool is_best = position_.best_epoch < 0 || loss < position_.best_validation_loss;
  if (is_best) {
    position_.best_validation_loss = loss;
    position_.best_epoch = position_.epoch;
  }
  progress.note(fmt::format("epoch {}: training loss {:.4f}, validation loss {:.4f}{}, macro AUROC {:.3f}",
                            position_.epoch + 1, training_loss, loss, is_best ? " (best)" : "", area));
  run_.log({{"type", "epoch"},
            {"epoch", position_.epoch + 1},
            {"step", position_.optimizer_steps},
            {"training_loss", training_loss},
            {"validation_loss", loss},
            {"validation_macro_auroc", std::isnan(area) ? Json() : Json(area)}});
  ++position_.epoch;
  position_.batch = 0;
  position_.sum_of_losses = 0;
  write_checkpoint(is_best);
}

void Trainer::write_checkpoint(bool is_best) {
  run_.write_checkpoint(position_.optimizer_steps, is_best, [&](const std::filesystem::path& directory) {
    models::export_model(model_, preprocessor_, directory);
    // Which patients the model has never seen, and how its slices were cut: `evaluate` needs both.
    for (const char* name : {"split.json", "slices.json"})
      if (std::filesystem::exists(run_.path() / name))
        std::filesystem::copy_file(run_.path() / name, directory / name);
    write_trainer_state(directory, *optimizer_,
                        {.epoch = position_.epoch,
                         .batch = position_.batch,
                         .optimizer_steps = position_.optimizer_steps,
                         .micro_steps = position_.micro_steps,
                         .best_validation_loss = position_.best_validation_loss,
                         .best_epoch = position_.best_epoch,
                         .sum_of_losses = position_.sum_of_losses,
                         .log_bytes = run_.log_bytes()});
  });
}

}  // namespace sagitta::apps
