#include "apps/study/study_trainer.h"

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/engine/slices.h"
#include "apps/study/study_predictions.h"
#include "apps/train/epoch_result.h"
#include "apps/train/not_finite.h"
#include "autograd/ops.h"
#include "data/rsna_metric.h"
#include "nn/checkpoint.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Clock = std::chrono::steady_clock;

// Every member learns by itself, as if it were alone.
autograd::Variable sum_of_losses(models::StudyModel& model, const StudyBatch& batch) {
  autograd::Variable sum;
  for (const autograd::Variable& logits :
       model.member_logits(autograd::Variable(batch.features), autograd::Variable(batch.slice_logits))) {
    const autograd::Variable loss = autograd::bce_with_logits(logits, batch.targets, {}, batch.weights);
    sum = sum ? autograd::add(sum, loss) : loss;
  }
  return sum;
}

}  // namespace

double rsna_loss(const Predictions& by_study) {
  const std::vector<float> probabilities = by_study.probabilities();
  std::vector<data::ExamPrediction> exams(by_study.rows());
  for (std::size_t i = 0; i < by_study.logits.size(); ++i) {
    exams[i / 8].truth[i % 8] = by_study.targets[i];
    exams[i / 8].probability[i % 8] = probabilities[i];
  }
  return data::rsna_log_loss(exams);
}

StudyTrainer::StudyTrainer(models::StudyModel& model, nn::Context& context, const StudyData& training,
                           const StudyData& validation, const StudyOptions& options, RunDirectory& run,
                           const StopSignal* stop)
    : model_(model),
      context_(context),
      training_(training),
      validation_(validation),
      options_(options),
      run_(run),
      stop_(stop),
      arena_(model, options.weight_decay, nn::DecayPolicy::weights),
      optimizer_(arena_, {.decoupled = true, .max_norm = options.clip_norm}),
      schedule_(schedule_of(options)),
      scaling_(training.scaling()),
      step_state_(context.step_state()) {
  schedule_.total = static_cast<double>(options_.epochs * steps_per_epoch());
  if (options_.ema > 0) average_ = std::make_unique<nn::MovingAverage>(model, arena_, options_.ema);
  Backend& backend = context_.backend();
  backend.write(scaling_.mean.data(), model_.feature_mean.value());
  backend.write(scaling_.std.data(), model_.feature_std.value());
  run_.keep_checkpoints(options_.keep_checkpoints);
}

std::int64_t StudyTrainer::steps_per_epoch() const {
  const auto rows = static_cast<std::int64_t>(training_.rows().size());
  return (rows + options_.batch_size - 1) / options_.batch_size;
}

void StudyTrainer::resume() {
  models::load_weights(model_, run_.last());
  position_ = read_trainer_state(run_.last());
  read_trainer_tensors(run_.last(), tensors_to_keep(optimizer_, average_.get()));
  nn::refresh_copies(model_);
  run_.truncate_log(position_.log_bytes);
}

StudyTrainer::Outcome StudyTrainer::run() {
  log_ = std::make_unique<RunLog>(run_, position_.optimizer_steps);
  model_.train();
  while (!position_.is_finished(options_.epochs, options_.patience)) {
    if (stop_ && stop_->received()) {
      log_->add({{"type", "end"}, {"outcome", "stopped"}, {"step", position_.optimizer_steps}});
      return Outcome::stopped;
    }
    train_epoch();
  }
  log_->add({{"type", "end"}, {"outcome", "finished"}, {"step", position_.optimizer_steps}});
  log_->end();
  return Outcome::finished;
}

void StudyTrainer::train_epoch() {
  const auto epoch = static_cast<std::uint32_t>(position_.epoch);
  const RowChanges changes{.plane_dropout = options_.plane_dropout, .seed = options_.seed, .epoch = epoch};
  double sum = 0;
  for (const std::vector<std::size_t>& rows :
       epoch_batches(training_.rows().size(), options_.batch_size, options_.seed, epoch)) {
    const Step done = step(make_batch(training_, rows, scaling_, context_.backend(), &changes));
    sum += done.loss * static_cast<double>(rows.size());
    log_->add({{"type", "step"},
               {"epoch", position_.epoch + 1},
               {"step", position_.optimizer_steps},
               {"loss", done.loss},
               {"lr", done.learning_rate},
               {"gradient_norm", done.gradient_norm}});
  }
  validate_epoch(sum / static_cast<double>(training_.rows().size()));
}

StudyTrainer::Step StudyTrainer::step(const StudyBatch& batch) {
  const double learning_rate = schedule_.at(position_.optimizer_steps, steps_per_epoch());
  nn::write_step_state(step_state_,
                       {.seed = options_.seed,
                        .micro_step = static_cast<std::uint32_t>(position_.optimizer_steps),
                        .optimizer_step = static_cast<std::uint32_t>(position_.optimizer_steps + 1),
                        .learning_rate = learning_rate});
  const autograd::Variable loss = sum_of_losses(model_, batch);
  Step done{.loss = scalar_of(loss.value()) / static_cast<double>(model_.members.size()),
            .learning_rate = learning_rate};
  require_finite(done.loss, "loss", position_.optimizer_steps + 1);
  autograd::backward(loss);
  optimizer_.step(step_state_);
  if (average_) average_->update();
  done.gradient_norm = optimizer_.gradient_norm();
  require_finite(done.gradient_norm, "gradient norm", position_.optimizer_steps + 1);
  ++position_.optimizer_steps;
  return done;
}

void StudyTrainer::validate_epoch(double training_loss) {
  const Clock::time_point start = Clock::now();
  const Predictions predictions = [&] {
    const nn::AverageInModel average(average_.get(), position_.optimizer_steps);
    return study_predictions(model_, context_, validation_);
  }();
  const EpochResult result{.training_loss = training_loss,
                           .validation_loss = rsna_loss(predictions),
                           .areas = label_areas(predictions),
                           .validation_seconds = std::chrono::duration<double>(Clock::now() - start).count()};
  require_finite(result.validation_loss, "validation loss", position_.optimizer_steps);
  const bool is_best = position_.settle_best(result.validation_loss);
  if (!options_.quiet)
    fmt::print(stderr, "epoch {}/{}: {}\n", position_.epoch + 1, options_.epochs, result.text(is_best));
  log_->add_predictions(position_.optimizer_steps, predictions, model_.config().labels);
  log_->add(result.json(position_, model_.config().labels));
  ++position_.epoch;
  write_checkpoint(is_best);
}

void StudyTrainer::write_checkpoint(bool is_best) {
  const nn::AverageInModel average(average_.get(), position_.optimizer_steps);
  position_.log_bytes = run_.log_bytes();
  run_.write_checkpoint(position_.optimizer_steps, is_best, [&](const std::filesystem::path& directory) {
    models::export_study_model(model_, directory);
    keep_origin(run_.path(), directory);
    write_trainer_state(directory, tensors_to_keep(optimizer_, average_.get()), position_);
  });
}

void StudyTrainer::require_finite(double value, const char* what, std::int64_t step) const {
  if (!std::isfinite(value)) fail_not_finite(what, value, position_.epoch + 1, step, run_);
}

}  // namespace sagitta::apps
