#include "bench/train_worker.h"

#include <sys/resource.h>

#include <memory>

#include "autograd/ops.h"
#include "bench/machine.h"
#include "bench/recorded_step.h"
#include "models/classifier.h"
#include "nn/arena.h"
#include "nn/constant_parameters.h"
#include "nn/optimizer.h"

namespace sagitta::bench {
namespace {

using Json = nlohmann::ordered_json;

rusage usage() {
  rusage now{};
  getrusage(RUSAGE_SELF, &now);
  return now;
}

// On a GPU of its tensors, on the CPU of the process.
double peak_mb(Backend& backend) {
  if (backend.device().kind == Device::Kind::cuda)
    return static_cast<double>(backend.memory_use().peak) / (1 << 20);
  return process_peak_mb();
}

Json time_steps(Backend& backend, const WorkerOptions& options, const std::function<void()>& step) {
  const bool is_gpu = backend.device().kind == Device::Kind::cuda;
  for (int i = 0; i < (is_gpu ? 10 : 2); ++i) step();  // the first ones choose algorithms and record the step
  backend.synchronize();
  const rusage before = usage();
  std::vector<double> seconds;
  const int per_measurement = is_gpu ? options.steps : 1;
  for (int done = 0; done < options.steps; done += per_measurement) {
    const double start = seconds_now();
    for (int i = 0; i < per_measurement; ++i) step();
    backend.synchronize();
    seconds.push_back((seconds_now() - start) / per_measurement);
  }
  const rusage after = usage();
  return {{"images_per_second", static_cast<double>(options.batch) / median(seconds)},
          {"peak_mb", peak_mb(backend)},
          {"minor_faults_per_step", static_cast<double>(after.ru_minflt - before.ru_minflt) / options.steps},
          {"major_faults_per_step", static_cast<double>(after.ru_majflt - before.ru_majflt) / options.steps}};
}

}  // namespace

Json run_worker(const WorkerOptions& options) {
  const models::ModelConfig config = config_of(options.arch, options.image_size);
  const apps::OpenedDevice device = apps::open_device(options.device);
  Backend& backend = device.backend;
  nn::Context context(backend, device.dtype);
  const auto model = models::make_classifier(config, context);
  nn::initialize(*model, 1);
  const Shape shape{options.batch, config.image_size, config.image_size, 3};
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(random::normal({1, 0, 0}, i));
  const autograd::Variable pixels =
      autograd::cast(autograd::Variable(from_host(backend, shape, values)), device.dtype);
  if (options.inference) {
    model->eval();
    const autograd::NoGradient no_gradient;
    const nn::ConstantParameters constant(*model);
    const auto step = backend.capture([&] { model->logits(pixels); });
    return time_steps(backend, options, [&] { step->replay(); });
  }
  nn::ParameterArena arena(*model, 1e-4, nn::DecayPolicy::all);
  nn::Sgd optimizer(arena, {.momentum = 0.9});
  if (device.dtype == DType::f16) optimizer.scale_loss();
  Tensor state = context.step_state();
  nn::write_step_state(state, {.learning_rate = 0.01});
  const Tensor targets = zeros(backend, {options.batch, config.num_labels()}, DType::f32);
  const Tensor one = full(backend, {1}, DType::f32, 1);
  const auto step = backend.capture([&] {
    arena.clear_gradients();
    const autograd::Variable logits = autograd::cast(model->logits(pixels), DType::f32);
    const autograd::Variable loss = autograd::bce_with_logits(logits, targets);
    autograd::backward(loss, optimizer.scaled_seed(one));
    optimizer.step(state);
  });
  return time_steps(backend, options, [&] { step->replay(); });
}

}  // namespace sagitta::bench
