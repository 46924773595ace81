// StudyTrainer: the loop of steps, validation and checkpoints for a study model. Features of all studies are
// in memory and a step takes milliseconds, so unlike apps/train/trainer.h it prepares nothing ahead and stops
// only between epochs. Invariant: the weights after n epochs are a function of data and options only; a run
// that was killed and resumed ends with bitwise the same ones.
#pragma once
#include <memory>

#include "apps/engine/run_directory.h"
#include "apps/engine/stop_signal.h"
#include "apps/events/run_log.h"
#include "apps/study/study_data.h"
#include "apps/study/study_options.h"
#include "apps/train/trainer_state.h"
#include "nn/moving_average.h"
#include "nn/optimizer.h"

namespace sagitta::apps {

// The competition's loss of studies whose logits [studies, 8] and truths these are.
double rsna_loss(const Predictions& by_study);

class StudyTrainer {
 public:
  // All must outlive this.
  StudyTrainer(models::StudyModel& model, nn::Context& context, const StudyData& training,
               const StudyData& validation, const StudyOptions& options, RunDirectory& run,
               const StopSignal* stop = nullptr);

  // Continues from the run's last checkpoint.
  void resume();

  enum class Outcome { finished, stopped };
  // Trains to the last epoch, until patience ends, or until the signal to stop; a checkpoint is left after
  // each epoch. Throws Error when the loss is not finite any more; the checkpoints are untouched then.
  Outcome run();

  std::int64_t best_epoch() const { return position_.best_epoch + 1; }  // from 1
  double best_loss() const { return position_.best_value; }

 private:
  struct Step {
    double loss = 0, gradient_norm = 0, learning_rate = 0;
  };
  std::int64_t steps_per_epoch() const;
  void train_epoch();
  Step step(const StudyBatch& batch);
  void validate_epoch(double training_loss);
  void write_checkpoint(bool is_best);
  void require_finite(double value, const char* what, std::int64_t step) const;

  models::StudyModel& model_;
  nn::Context& context_;
  const StudyData &training_, &validation_;
  StudyOptions options_;
  RunDirectory& run_;
  const StopSignal* stop_;

  nn::ParameterArena arena_;
  nn::Adam optimizer_;
  std::unique_ptr<nn::MovingAverage> average_;  // null without --ema
  nn::Schedule schedule_;
  FeatureScaling scaling_;
  Tensor step_state_;
  TrainerState position_;
  std::unique_ptr<RunLog> log_;  // while run() runs
};

}  // namespace sagitta::apps
