// Two models with what trains them, as a trainer holds it, and their loss curves: for the tests of whole
// training steps on any device.
#pragma once
#include <cmath>
#include <memory>
#include <vector>

#include "autograd/ops.h"
#include "models/classifier.h"
#include "nn/arena.h"
#include "nn/optimizer.h"

namespace sagitta::test {

inline constexpr std::int64_t kBatch = 4, kLabels = 7;

struct TrainingCase {
  models::ModelConfig config;
  bool adam;  // else SGD with momentum
  double lr;
};

inline TrainingCase resnet18() {
  models::ModelConfig config = models::config_for("resnet-18");
  config.image_size = 64;
  config.labels = models::default_labels(kLabels);
  // A batch norm over 16 values magnifies rounding: at twice this rate ten steps turn 1e-7 into 1e-4.
  return {config, false, 1e-4};
}

inline TrainingCase vit_tiny() {
  models::ModelConfig config = models::config_for("vit-tiny-patch16-64");
  config.labels = models::default_labels(kLabels);
  auto& vit = std::get<models::ViTConfig>(config.architecture);
  vit.num_hidden_layers = 4;  // of 12: each further one is the same again
  vit.hidden_dropout_prob = 0.1;
  return {config, true, 3e-4};
}

inline std::unique_ptr<nn::Optimizer> make_optimizer(const TrainingCase& training_case,
                                                     nn::ParameterArena& arena) {
  if (training_case.adam) return std::make_unique<nn::Adam>(arena, AdamParams{.decoupled = true});
  return std::make_unique<nn::Sgd>(arena, SgdParams{.momentum = 0.9});
}

// Model, arena and optimizer, and one step on fixed tensors: what a trainer holds.
class Training {
 public:
  Training(const TrainingCase& training_case, Backend& backend, DType dtype)
      : case_(training_case),
        context_(backend, dtype),
        model_(models::make_classifier(training_case.config, context_)),
        arena_((nn::initialize(*model_, 5), *model_), 0.01, nn::DecayPolicy::huggingface),
        optimizer_(make_optimizer(training_case, arena_)),
        state_(context_.step_state()),
        loss_(zeros(backend, {1}, accumulate_dtype(dtype))),
        seed_(full(backend, {1}, accumulate_dtype(dtype), 1)) {
    const std::int64_t side = training_case.config.image_size;
    std::vector<float> pixels(static_cast<std::size_t>(kBatch * side * side * 3)), targets;
    // Exact in every dtype, so that all runs see the same pictures.
    for (std::size_t i = 0; i < pixels.size(); ++i)
      pixels[i] = static_cast<float>(std::round(random::normal({3, 0, 0}, i) * 16) / 16);
    for (int i = 0; i < kBatch * kLabels; ++i) targets.push_back(i % 3 == 0 ? 1.0F : 0.0F);
    const Tensor source = from_host(backend, {kBatch, side, side, 3}, pixels);
    pixels_ = Tensor(backend, source.shape(), dtype);
    backend.convert(source, pixels_);
    targets_ = Tensor(backend, {kBatch, kLabels}, accumulate_dtype(dtype));
    backend.convert(from_host(backend, targets_.shape(), targets), targets_);
    if (dtype == DType::f16) optimizer_->scale_loss();
  }

  void write_state(std::uint32_t step) {
    nn::write_step_state(
        state_, {.seed = 1, .micro_step = step, .optimizer_step = step + 1, .learning_rate = case_.lr});
  }

  void run_step(std::uint32_t step) {
    write_state(step);
    enqueue_step();
  }

  // Forward, backward and update; nothing here reads from the device.
  void enqueue_step() {
    backward(forward());
    update();
  }
  autograd::Variable forward() {
    const autograd::Variable logits =
        autograd::cast(model_->logits(autograd::Variable(pixels_)), targets_.dtype());
    const autograd::Variable loss = autograd::bce_with_logits(logits, targets_);
    loss_.backend().convert(loss.value(), loss_);
    return loss;
  }
  void backward(const autograd::Variable& loss) { autograd::backward(loss, optimizer_->scaled_seed(seed_)); }
  void update() { optimizer_->step(state_); }

  double loss() const { return scalar_of(loss_); }
  std::vector<float> values() { return to_host<float>(arena_.values()); }
  Backend& backend() { return context_.backend(); }
  models::ImageClassifier& model() { return *model_; }
  nn::ParameterArena& arena() { return arena_; }
  Tensor& pixels() { return pixels_; }

 private:
  TrainingCase case_;
  nn::Context context_;
  std::unique_ptr<models::ImageClassifier> model_;
  nn::ParameterArena arena_;
  std::unique_ptr<nn::Optimizer> optimizer_;
  Tensor state_, pixels_, targets_, loss_, seed_;
};

inline std::vector<double> loss_curve(const TrainingCase& training_case, Backend& backend, DType dtype) {
  constexpr int kSteps = 10;
  Training training(training_case, backend, dtype);
  std::vector<double> losses;
  for (std::uint32_t step = 0; step < kSteps; ++step) {
    training.run_step(step);
    losses.push_back(training.loss());
  }
  return losses;
}

}  // namespace sagitta::test
