// Trainer: the loop of steps, evaluation, logging and checkpoints. It knows no model type and no data format.
// While the device computes one batch the next is loaded and uploaded, so the loss of a batch is known one
// turn of the loop later; nothing is written to disk before it is. Invariant: the weights after n optimizer
// steps are a function of options and data only; a run that was killed and resumed from its last checkpoint
// ends with bitwise the same ones.
#pragma once
#include <memory>
#include <optional>
#include <set>

#include "apps/engine/predictions.h"
#include "apps/engine/progress.h"
#include "apps/engine/run_directory.h"
#include "apps/engine/stop_signal.h"
#include "apps/events/run_log.h"
#include "apps/observe/step_trace.h"
#include "apps/train/lr_finder.h"
#include "apps/train/train_step.h"
#include "apps/train/trainer_state.h"
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
  // A batch that the device was given.
  struct Launched {
    std::int64_t batch = 0;           // of the epoch, from 1
    std::int64_t optimizer_step = 0;  // it belongs to, from 1
    bool last_of_step = false;
    double learning_rate = 0;
  };
  // What came of it.
  struct Measured {
    Launched launched;
    double loss = 0;
    double gradient_norm = 0;  // of the last batch of a step
    std::optional<double> loss_scale;
  };
  // What is shown of an epoch while it runs.
  struct EpochState;
  // Thrown out of the validation when the signal to stop arrives.
  struct Stopped {};

  bool is_finished() const;
  std::int64_t batches_per_epoch() const;
  std::int64_t steps_per_epoch() const;
  double learning_rate() const;
  std::int64_t first_step_of_optimizer() const;  // 0, or where --freeze-epochs ended
  void settle_freezing();
  void train_epoch();  // from the current position, to its end or the signal to stop
  Launched launch();   // what was uploaded; moves the position on
  // Waits for the device; throws, naming the op that began it, unless all is finite.
  Measured measure(const Launched& launched);
  void report(EpochState& epoch, const Measured& measured);
  void finish_epoch();
  // Whether this epoch's value (smaller is better) is the best so far; takes note of it.
  bool settle_best(double value);
  NamedTensors tensors_to_keep();
  void check_finite(double value, const char* what, std::int64_t step);
  void begin_trace();
  void finish_trace(bool is_last);
  void write_checkpoint(bool is_best);
  void render_report(bool goes_on);
  void warn_of_labels();
  // Says it once in a run of the program, above the progress line.
  void warn_once(const std::string& what, const std::string& remedy);
  void note(const std::string& line) const;  // above the progress line
  InputOptions training_input() const;

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
  std::unique_ptr<RunLog> log_;                // while run() runs
  std::optional<data::Batch> launched_batch_;  // what the device works on, to be looked at when it goes wrong
  std::optional<LayerNames> names_;
  std::optional<StepTrace> trace_;
  std::set<std::string> warned_;
  Progress* shown_ = nullptr;
};

}  // namespace sagitta::apps
