// Trainer: the loop of steps, evaluation, logging and checkpoints. It knows no model type and no data format.
// While the device computes one batch the next is loaded and uploaded, so the loss of a batch is known one
// turn of the loop later; nothing is written to disk before it is. Invariant: the weights after n optimizer
// steps are a function of options and data only; a run that was killed and resumed from its last checkpoint
// ends with bitwise the same ones.
#pragma once
#include <memory>

#include "apps/engine/model_input.h"
#include "apps/engine/predictions.h"
#include "apps/engine/run_directory.h"
#include "apps/train/train_options.h"
#include "models/preprocessor.h"
#include "nn/optimizer.h"

namespace sagitta::apps {

class Progress;

class Trainer {
 public:
  struct Data {
    data::SliceSet train, validation;
  };

  Trainer(models::ImageClassifier& model, nn::Context& context, const models::Preprocessor& preprocessor,
          Data data, const TrainOptions& options, RunDirectory& run);

  // Continues from the run's last checkpoint.
  void resume();
  // Trains to the last epoch. Throws Error when the loss is not finite any more; the checkpoints are
  // untouched then.
  void run();

 private:
  // Where the run stands; what a checkpoint must hold besides weights and moments.
  struct Position {
    std::int64_t epoch = 0;  // being trained
    std::int64_t batch = 0;  // next batch of the epoch
    std::int64_t optimizer_steps = 0;
    std::int64_t micro_steps = 0;
    double best_validation_loss = 0;  // valid once best_epoch >= 0
    std::int64_t best_epoch = -1;
    double sum_of_losses = 0;  // of the epoch's batches so far
  };

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
    double gradient_norm = 0, loss_scale = 0;  // of the last batch of a step; 0 without a loss scale
  };
  // What is shown of an epoch while it runs.
  struct EpochState;

  std::int64_t batches_per_epoch() const;
  std::int64_t steps_per_epoch() const;
  double learning_rate() const;
  void build_steps();
  void forward_backward();
  void train_epoch();  // from the current position
  void upload(const data::Batch& batch);
  Launched launch();                                 // what was uploaded; moves the position on
  Measured measure(const Launched& launched) const;  // waits for the device; throws unless all is finite
  void report(EpochState& epoch, const Measured& measured);
  void finish_epoch();
  void check_finite(double value, const char* what, std::int64_t step) const;
  void write_checkpoint(bool is_best);
  InputOptions training_input() const;

  models::ImageClassifier& model_;
  nn::Context& context_;
  models::Preprocessor preprocessor_;
  Data data_;
  TrainOptions options_;
  RunDirectory& run_;
  std::vector<float> pos_weights_;  // per label; empty: none

  nn::ParameterArena arena_;
  std::unique_ptr<nn::Optimizer> optimizer_;
  nn::Schedule schedule_;
  InputOptions input_options_;
  data::Loader loader_;
  Position position_;

  // Fixed memory that the captured steps work on.
  ModelInput input_;
  Tensor targets_, pos_weight_, loss_, seed_;
  Tensor step_state_;
  std::unique_ptr<Captured> forward_backward_, update_;
};

}  // namespace sagitta::apps
