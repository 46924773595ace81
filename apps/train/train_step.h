// TrainStep: what a device does in training: forward and backward of one batch, and the update of the
// weights. Below the trainer, which decides what to load, log and keep. Both pieces of work are captured once
// and replayed on fixed memory, so that the next batch can be uploaded while the device computes.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "apps/engine/model_input.h"
#include "apps/observe/step_phases.h"
#include "apps/train/train_options.h"
#include "models/classifier.h"
#include "nn/moving_average.h"
#include "nn/optimizer.h"

namespace sagitta::apps {

class TrainStep {
 public:
  // `pos_weights`: one factor per label, or none. The model and the context must outlive this.
  TrainStep(models::ImageClassifier& model, nn::Context& context, const ImageParams& normalization,
            const TrainOptions& options, const std::vector<float>& pos_weights);

  // Enqueues the upload of the batch that is launched next; its size is the options'.
  void upload(const data::Batch& batch);

  struct Launch {
    StepState state;
    bool first_of_step = true, last_of_step = true;  // of the batches whose gradients are added up
  };
  // What the step is doing, for those who watch it; the caller opens the steps.
  StepPhases& phases() { return phases_; }
  // Draws the graph of the next launch, which must be the first.
  void draw_graph(const std::filesystem::path& file) { graph_file_ = file; }
  // Makes the last launch again, op by op, and says which op was the first to give a value that is not
  // finite. An update that such a gradient would have made did not happen, so the weights are still those.
  // Empty where the context is not on an ObservedBackend.
  std::string first_not_finite(const data::Batch& batch);

  // Enqueues forward and backward of what was uploaded and, at the end of a step, the update.
  void launch(const Launch& launch);

  // Of the last launch; wait for the device. The gradient norm and the loss scale are of the last update.
  double loss() const { return scalar_of(loss_); }
  double gradient_norm() const { return optimizer_->gradient_norm(); }
  std::optional<double> loss_scale() const;  // empty: none is needed

  // Takes note of parameters that were frozen or thawed; the optimizer begins anew.
  void restart();

  nn::Optimizer& optimizer() { return *optimizer_; }
  nn::MovingAverage* average() { return average_.get(); }  // null without --ema

 private:
  void capture();
  void forward_backward();

  models::ImageClassifier& model_;
  nn::Context& context_;
  bool accumulates_;
  StepPhases phases_;
  std::filesystem::path graph_file_;  // to be drawn; empty: none
  StepState last_state_;

  nn::ParameterArena arena_;
  std::unique_ptr<nn::Optimizer> optimizer_;
  std::unique_ptr<nn::MovingAverage> average_;

  // Fixed memory that the captured work is on.
  ModelInput input_;
  Tensor targets_, pos_weight_, loss_, seed_;
  Tensor step_state_;
  std::unique_ptr<Captured> forward_backward_, update_;
};

}  // namespace sagitta::apps
