// A program that embeds Sagitta: fits y = 2x by gradient descent with an installed library, on a GPU if there
// is one.
#include "autograd/ops.h"
#include "cuda/cuda.h"
#include "nn/arena.h"
#include "nn/linear.h"
#include "nn/optimizer.h"

int main() {
  using namespace sagitta;
  const bool gpu = cuda::device_count() > 0;
  if (gpu) cuda::register_backend({});
  nn::Context context(gpu ? backend_for({Device::Kind::cuda, 0}) : cpu_backend());
  nn::Module model;
  nn::Linear layer(&model, "layer", context, 1, 1);
  nn::initialize(model, 1);
  nn::ParameterArena arena(model, 0, nn::DecayPolicy::all);
  nn::Sgd optimizer(arena, {.momentum = 0.5});
  Tensor state = context.step_state();
  nn::write_step_state(state, {.learning_rate = 0.1});
  const autograd::Variable x(from_host<float>(context.backend(), {3, 1}, {-1, 0, 2}));
  const autograd::Variable y(from_host<float>(context.backend(), {3, 1}, {-2, 0, 4}));
  for (int step = 0; step < 100; ++step) {
    autograd::backward(autograd::sum(autograd::square(autograd::sub(layer(x), y))));
    optimizer.step(state);
  }
  const float slope = to_host<float>(layer.weight.value())[0];
  fmt::print("slope {:.4f} on {}\n", slope, context.backend().device().str());
  return slope > 1.999F && slope < 2.001F ? 0 : 1;
}
