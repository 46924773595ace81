#include "apps/train/train_step.h"

#include "apps/observe/graph_picture.h"
#include "apps/observe/nan_guard.h"
#include "apps/train/fine_tuning.h"
#include "autograd/ops.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

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

}  // namespace

TrainStep::TrainStep(models::ImageClassifier& model, nn::Context& context, const ImageParams& normalization,
                     const TrainOptions& options, const std::vector<float>& pos_weights)
    : model_(model),
      context_(context),
      accumulates_(options.accumulate > 1),
      arena_(model, options.weight_decay, decay_policy_of(options),
             layer_rates(model, options.lr_layer_decay)),
      optimizer_(make_optimizer(arena_, options)),
      input_(context, options.batch_size, model.config().image_size, normalization),
      step_state_(context.step_state()) {
  Backend& backend = context.backend();
  const std::int64_t labels = model.config().num_labels();
  targets_ = Tensor(backend, {options.batch_size, labels}, DType::f32);
  loss_ = Tensor(backend, {1}, DType::f32);
  seed_ = full(backend, {1}, DType::f32, 1.0 / static_cast<double>(options.accumulate));
  if (!pos_weights.empty()) pos_weight_ = from_host(backend, {labels}, pos_weights);
  if (context.dtype() == DType::f16) optimizer_->scale_loss();
  if (options.ema > 0) average_ = std::make_unique<nn::MovingAverage>(model, arena_, options.ema);
  capture();
}

// A record is replayed whatever ran before, so neither piece goes by which gradients the host takes for
// filled: each says so itself.
void TrainStep::capture() {
  Backend& backend = context_.backend();
  forward_backward_ = backend.capture([this] { forward_backward(); });
  update_ = backend.capture([this] {
    arena_.keep_gradients();  // forward_backward() leaves all of them filled
    optimizer_->step(step_state_);
    if (average_) average_->update();
  });
}

void TrainStep::forward_backward() {
  if (accumulates_)
    arena_.keep_gradients();  // launch() has zeroed them
  else
    arena_.clear_gradients();
  autograd::Variable loss;
  {
    const auto phase = phases_.phase("forward");
    const autograd::Variable logits = model_.logits(autograd::Variable(input_.normalize()));
    loss = autograd::bce_with_logits(autograd::cast(logits, DType::f32), targets_, pos_weight_);
    context_.backend().convert(loss.value(), loss_);
  }
  if (!graph_file_.empty())
    apps::draw_graph(loss, LayerNames(model_), std::exchange(graph_file_, std::filesystem::path()));
  const auto phase = phases_.phase("backward");
  autograd::backward(loss, optimizer_->scaled_seed(seed_));
  arena_.complete_gradients();
}

void TrainStep::upload(const data::Batch& batch) {
  const auto phase = phases_.phase("upload");
  input_.upload(batch);
  context_.backend().write(batch.labels.data(), targets_);
}

void TrainStep::launch(const Launch& launch) {
  last_state_ = launch.state;
  nn::write_step_state(step_state_, launch.state);
  if (accumulates_ && launch.first_of_step) context_.backend().fill(arena_.gradients(), 0);
  forward_backward_->replay();
  if (!launch.last_of_step) return;
  const auto phase = phases_.phase("update");
  update_->replay();
}

std::string TrainStep::first_not_finite(const data::Batch& batch) {
  auto* backend = dynamic_cast<ObservedBackend*>(&context_.backend());
  if (!backend) return {};
  const LayerNames names(model_);
  const auto step = phases_.step(last_state_.optimizer_step);
  upload(batch);
  backend->fill(arena_.gradients(), 0);
  try {
    const NanGuard guard(*backend, names, phases_,
                         {.skip_gradients = static_cast<bool>(optimizer_->loss_scale())});
    launch({.state = last_state_, .first_of_step = true, .last_of_step = false});
  } catch (const Error& error) {
    return error.what();
  }
  return "made again op by op, the step gave finite values only: the weights have changed since";
}

std::optional<double> TrainStep::loss_scale() const {
  const Tensor& scale = optimizer_->loss_scale();
  if (!scale) return std::nullopt;
  return static_cast<double>(to_host<float>(scale)[kLossScaleFactor]);
}

void TrainStep::restart() {
  arena_.settle_frozen();
  optimizer_->reset();
  capture();
}

}  // namespace sagitta::apps
