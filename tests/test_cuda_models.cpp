// Whole training steps on a CUDA device: ten steps of each model beside the CPU's, and captured beside eager.
#include <doctest/doctest.h>

#include <cmath>
#include <memory>

#include "autograd/ops.h"
#include "cuda_test.h"
#include "models/classifier.h"
#include "nn/arena.h"
#include "nn/optimizer.h"

using namespace sagitta;
using namespace sagitta::test;

namespace {

constexpr std::int64_t kBatch = 4, kLabels = 7;

struct Case {
  models::ModelConfig config;
  bool adam;  // else SGD with momentum
  double lr;
};

Case resnet18() {
  models::ModelConfig config = models::config_for("resnet-18");
  config.image_size = 64;
  config.labels = models::default_labels(kLabels);
  // A batch norm over 16 values magnifies rounding: at twice this rate ten steps turn 1e-7 into 1e-4.
  return {config, false, 1e-4};
}

Case vit_tiny() {
  models::ModelConfig config = models::config_for("vit-tiny-patch16-64");
  config.labels = models::default_labels(kLabels);
  auto& vit = std::get<models::ViTConfig>(config.architecture);
  vit.num_hidden_layers = 4;  // of 12: each further one is the same again
  vit.hidden_dropout_prob = 0.1;
  return {config, true, 3e-4};
}

std::unique_ptr<nn::Optimizer> make_optimizer(const Case& training_case, nn::ParameterArena& arena) {
  if (training_case.adam) return std::make_unique<nn::Adam>(arena, AdamParams{.decoupled = true});
  return std::make_unique<nn::Sgd>(arena, SgdParams{.momentum = 0.9});
}

// Model, arena and optimizer, and one step on fixed tensors: what a trainer holds.
class Training {
 public:
  Training(const Case& training_case, Backend& backend, DType dtype)
      : case_(training_case),
        context_(backend, dtype),
        model_(models::make_classifier(training_case.config, context_)),
        arena_((nn::initialize(*model_, 5), *model_), 0.01, nn::DecayPolicy::huggingface),
        optimizer_(make_optimizer(training_case, arena_)),
        state_(context_.step_state()),
        loss_(zeros(backend, {1}, DType::f32)),
        seed_(full(backend, {1}, DType::f32, 1)) {
    const std::int64_t side = training_case.config.image_size;
    std::vector<float> pixels(static_cast<std::size_t>(kBatch * side * side * 3)), targets;
    // Exact in every dtype, so that all runs see the same pictures.
    for (std::size_t i = 0; i < pixels.size(); ++i)
      pixels[i] = static_cast<float>(std::round(random::normal({3, 0, 0}, i) * 16) / 16);
    for (int i = 0; i < kBatch * kLabels; ++i) targets.push_back(i % 3 == 0 ? 1.0F : 0.0F);
    const Tensor source = from_host(backend, {kBatch, side, side, 3}, pixels);
    pixels_ = Tensor(backend, source.shape(), dtype);
    backend.convert(source, pixels_);
    targets_ = from_host(backend, {kBatch, kLabels}, targets);
    if (dtype == DType::f16) optimizer_->scale_loss();
  }

  void write_state(std::uint32_t step) {
    nn::write_step_state(
        state_, {.seed = 1, .micro_step = step, .optimizer_step = step + 1, .learning_rate = case_.lr});
  }

  // Forward, backward and update; nothing here reads from the device.
  void enqueue_step() {
    const autograd::Variable logits = autograd::cast(model_->logits(autograd::Variable(pixels_)), DType::f32);
    const autograd::Variable loss = autograd::bce_with_logits(logits, targets_);
    loss_.backend().convert(loss.value(), loss_);
    autograd::backward(loss, optimizer_->scaled_seed(seed_));
    optimizer_->step(state_);
  }

  double loss() const { return scalar_of(loss_); }
  std::vector<float> values() { return to_host<float>(arena_.values()); }
  Backend& backend() { return context_.backend(); }

 private:
  Case case_;
  nn::Context context_;
  std::unique_ptr<models::ImageClassifier> model_;
  nn::ParameterArena arena_;
  std::unique_ptr<nn::Optimizer> optimizer_;
  Tensor state_, pixels_, targets_, loss_, seed_;
};

std::vector<double> loss_curve(const Case& training_case, Backend& backend, DType dtype) {
  constexpr int kSteps = 10;
  Training training(training_case, backend, dtype);
  std::vector<double> losses;
  for (std::uint32_t step = 0; step < kSteps; ++step) {
    training.write_state(step);
    training.enqueue_step();
    losses.push_back(training.loss());
  }
  return losses;
}

void check_curves(const Case& training_case) {
  const std::vector<double> cpu = loss_curve(training_case, cpu_backend(), DType::f32);
  CHECK(cpu.back() < 0.9 * cpu.front());  // something was learned, so the curve says something
  for (const auto& [dtype, bound] : {std::pair{DType::f32, 1e-4}, {DType::bf16, 2e-2}}) {
    CAPTURE(name_of(dtype));
    const std::vector<double> device = loss_curve(training_case, cuda_test_backend(), dtype);
    for (std::size_t step = 0; step < cpu.size(); ++step) {
      CAPTURE(step);
      CHECK(std::abs(device[step] - cpu[step]) <= bound);
    }
  }
}

void check_capture(const Case& training_case, DType dtype) {
  constexpr std::uint32_t kSteps = 5;
  Training eager(training_case, cuda_test_backend(), dtype),
      replayed(training_case, cuda_test_backend(), dtype);
  const auto captured = replayed.backend().capture([&] { replayed.enqueue_step(); });
  for (std::uint32_t step = 0; step < kSteps; ++step) {
    CAPTURE(step);
    eager.write_state(step);
    eager.enqueue_step();
    replayed.write_state(step);
    captured->replay();
    CHECK(eager.loss() == replayed.loss());
  }
  CHECK(eager.values() == replayed.values());
}

}  // namespace

TEST_CASE("ten steps of ResNet-18 follow the CPU's loss curve") { check_curves(resnet18()); }
TEST_CASE("ten steps of a tiny ViT follow the CPU's loss curve") { check_curves(vit_tiny()); }

TEST_CASE("a captured step of ResNet-18 does bitwise what an eager one does") {
  check_capture(resnet18(), DType::bf16);
}
TEST_CASE("a captured step of a tiny ViT does bitwise what an eager one does") {
  check_capture(vit_tiny(), DType::f16);
}
