#include "bench/recorded_step.h"

#include "autograd/ops.h"
#include "bench/recording_backend.h"
#include "models/classifier.h"
#include "nn/arena.h"
#include "nn/optimizer.h"

namespace sagitta::bench {

models::ModelConfig config_of(const std::string& arch, std::int64_t image_size) {
  models::ModelConfig config = models::config_for(arch);
  if (image_size > 0) config.image_size = image_size;
  config.labels = models::default_labels(7);
  return config;
}

std::vector<RecordedCall> calls_of_training(const models::ModelConfig& config, std::int64_t batch,
                                            DType dtype, UpdateRule rule) {
  RecordingBackend recorder;
  nn::Context context(recorder, dtype);
  const auto model = models::make_classifier(config, context);
  nn::ParameterArena arena(*model, 1e-4, nn::DecayPolicy::all);
  nn::Sgd sgd(arena, {.momentum = 0.9});
  nn::Adam adam(arena, {.decoupled = true});
  nn::Optimizer& used = rule == UpdateRule::adamw ? static_cast<nn::Optimizer&>(adam) : sgd;
  nn::Optimizer& unused = rule == UpdateRule::adamw ? static_cast<nn::Optimizer&>(sgd) : adam;
  if (dtype == DType::f16) used.scale_loss();
  Tensor state = context.step_state();
  nn::write_step_state(state, {.seed = 1, .learning_rate = 1e-3});

  const std::int64_t side = config.image_size, labels = config.num_labels();
  const Tensor pictures(recorder, {batch, side, side, 3}, DType::u8), crop(recorder, {batch, 3}, DType::i32);
  Tensor pixels(recorder, pictures.shape(), dtype);
  const Tensor targets(recorder, {batch, labels}, DType::f32);
  recorder.start();
  recorder.normalize_image({}, pictures, crop, pixels);
  const autograd::Variable logits =
      autograd::cast(model->logits(autograd::Variable(pixels)), accumulate_dtype(dtype));
  autograd::backward(autograd::bce_with_logits(logits, targets));
  used.step(state);
  std::vector<RecordedCall> calls = recorder.calls();

  recorder.start();
  unused.step(state);
  const Tensor classes(recorder, {batch, 1000}, DType::f32), ids(recorder, {batch}, DType::i64);
  Tensor loss(recorder, {1}, DType::f32), dclasses = classes.like(), dropped = pixels.like();
  recorder.softmax_cross_entropy({}, classes, ids, loss, dclasses);
  recorder.dropout({.p = 0.1}, state, pixels, dropped);
  recorder.dropout_backward({.p = 0.1}, state, pixels, {dropped});
  for (RecordedCall call : recorder.calls()) {
    // Without a backward pass the optimizer first clears the gradients.
    if (call.op == "fill" || call.op == "squared_norm") continue;
    call.times = 0;
    calls.push_back(std::move(call));
  }
  return calls;
}

std::vector<RecordedCall> calls_of_inference(const models::ModelConfig& config, std::int64_t batch,
                                             DType dtype) {
  RecordingBackend recorder;
  nn::Context context(recorder, dtype);
  const auto model = models::make_classifier(config, context);
  model->eval();
  const autograd::NoGradient no_gradient;
  const autograd::Variable pixels(Tensor(recorder, {batch, config.image_size, config.image_size, 3}, dtype));
  recorder.start();
  model->logits(pixels);
  return recorder.calls();
}

Cost cost_of(const std::vector<RecordedCall>& calls) {
  Cost cost;
  for (const RecordedCall& call : calls) {
    // One of attention's five products in backward is that of forward again, since the scores are not kept.
    const double needed = call.op == "attention_backward" ? 0.8 : 1;
    cost.flop += needed * call.flop * call.times;
    cost.bytes += call.bytes * call.times;
  }
  return cost;
}

}  // namespace sagitta::bench
