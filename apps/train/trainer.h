// Trainer: the loop of steps, validation and checkpoints. It knows no model type and no data format. While
// the device computes one batch the next is loaded and uploaded, so the loss of a batch is known one turn of
// the loop later (epoch_watch.h); nothing is written to disk before it is. Invariant: the weights after n
// optimizer steps are a function of options and data only; a run that was killed and resumed from its last
// checkpoint ends with bitwise the same ones.
#pragma once
#include <memory>
#include <optional>

#include "apps/engine/predictions.h"
#include "apps/engine/run_directory.h"
#include "apps/engine/stop_signal.h"
#include "apps/observe/step_trace.h"
#include "apps/train/epoch_watch.h"
#include "apps/train/lr_finder.h"
#include "models/preprocessor.h"
#include "nn/schedule.h"

namespace sagitta::apps {

class Trainer {
 public:
  struct Data {
    data::SliceSet train, validation;
  };

  // `stop`, when given, is asked after every batch.
  Trainer(models::ImageClassifier& model, nn::Context& context, const models::Preprocessor& preprocessor,
          Data data, const TrainOptions& options, RunDirectory& run, const StopSignal* stop = nullptr);

  // Continues from the run's last checkpoint.
  void resume();

  enum class Outcome { finished, stopped };
  // Trains to the last epoch, or until the signal to stop, and leaves a checkpoint of what was trained.
  // Throws Error when the loss is not finite any more; the checkpoints are untouched then.
  Outcome run();

  // Spoils the model: tries learning rates instead of training (lr_finder.h).
  std::vector<LrTrial> find_learning_rate();

  // Where the run stands, from 1.
  std::int64_t epoch() const { return position_.epoch + 1; }
  std::int64_t step() const { return position_.optimizer_steps; }
  std::int64_t best_epoch() const { return position_.best_epoch + 1; }
  std::string best_text() const;  // "loss 0.12345"

 private:
  // Thrown out of the validation when the signal to stop arrives.
  struct Stopped {};

  bool is_finished() const { return position_.is_finished(options_.epochs, options_.patience); }
  std::int64_t batches_per_epoch() const { return loader_.batches_per_epoch(); }
  std::int64_t steps_per_epoch() const;
  double learning_rate() const;
  std::int64_t first_step_of_optimizer() const;  // 0, or where --freeze-epochs ended
  void settle_freezing();
  void train_epoch();                       // from the current position, to its end or the signal to stop
  LaunchedBatch launch(data::Batch batch);  // what was uploaded; moves the position on
  void report(EpochWatch& watch, const MeasuredBatch& measured);
  void show_first_batch(const data::Batch& batch);
  void finish_epoch();
  Predictions validate(Progress& progress);
  NamedTensors kept_tensors() { return tensors_to_keep(step_.optimizer(), step_.average()); }
  void begin_trace();
  void finish_trace(bool is_last);
  void write_checkpoint(bool is_best);
  void render_report(bool goes_on);
  void warn_of_labels();
  InputOptions training_input() const;
  Progress::Voice voice() const {
    return options_.session.quiet ? Progress::Voice::quiet : Progress::Voice::normal;
  }

  models::ImageClassifier& model_;
  nn::Context& context_;
  models::Preprocessor preprocessor_;
  Data data_;
  TrainOptions options_;
  RunDirectory& run_;
  const StopSignal* stop_;

  InputOptions input_options_;
  std::vector<float> pos_weights_;  // per label; empty: none
  TrainStep step_;
  nn::Schedule schedule_;
  data::Loader loader_;
  TrainerState position_;
  bool is_frozen_;
  Notices notices_;
  std::unique_ptr<RunLog> log_;  // while run() runs
  std::optional<LayerNames> names_;
  std::optional<StepTrace> trace_;
};

}  // namespace sagitta::apps
