// Trains a small net: do the coordinates of a point have the same sign? No straight line tells such points
// from the others, so a hidden layer is needed. It computes on a GPU if there is one.
#include "autograd/ops.h"
#include "cuda/cuda.h"
#include "nn/arena.h"
#include "nn/linear.h"
#include "nn/optimizer.h"

using namespace sagitta;

struct Net : nn::Module {
  explicit Net(const nn::Context& context)
      : hidden(this, "hidden", context, 2, 32, {.activation = UnaryOp::gelu}),
        output(this, "output", context, 32, 1) {}
  // points [N,2] -> logits [N,1]
  autograd::Variable operator()(const autograd::Variable& x) const { return output(hidden(x)); }
  nn::Linear hidden, output;
};

// 512 points of the square (-1, 1)^2, [512,2]; another stream, other points.
std::vector<float> points(std::uint32_t stream) {
  std::vector<float> xy(1024);
  for (std::size_t i = 0; i < xy.size(); ++i) xy[i] = 2 * random::uniform({.stream = stream}, i) - 1;
  return xy;
}

// 1 for each point with equal signs, else 0: [512,1].
std::vector<float> equal_signs(const std::vector<float>& xy) {
  std::vector<float> labels;
  for (std::size_t i = 0; i < xy.size(); i += 2) labels.push_back(xy[i] * xy[i + 1] > 0 ? 1.0F : 0.0F);
  return labels;
}

int main() {
  const bool gpu = cuda::device_count() > 0;
  if (gpu) cuda::register_backend({});
  Backend& backend = gpu ? backend_for({Device::Kind::cuda, 0}) : cpu_backend();
  nn::Context context(backend);
  Net net(context);
  nn::initialize(net, 1);
  nn::ParameterArena arena(net, 0, nn::DecayPolicy::all);
  nn::Adam optimizer(arena, {});
  Tensor state = context.step_state();
  const autograd::Variable x(from_host(backend, {512, 2}, points(0)));
  const Tensor labels = from_host(backend, {512, 1}, equal_signs(points(0)));
  for (std::uint32_t step = 1; step <= 400; ++step) {
    const autograd::Variable loss = autograd::bce_with_logits(net(x), labels);
    autograd::backward(loss);
    nn::write_step_state(state, {.optimizer_step = step, .learning_rate = 0.01});
    optimizer.step(state);
    if (step % 100 == 0) fmt::print("step {}: loss {:.3f}\n", step, scalar_of(loss.value()));
  }
  const autograd::NoGradient no_gradient;
  const autograd::Variable unseen(from_host(backend, {512, 2}, points(1)));
  const std::vector<float> logits = to_host<float>(net(unseen).value()), truth = equal_signs(points(1));
  int right = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) right += (logits[i] > 0) == (truth[i] > 0);
  fmt::print("right on {} of {} unseen points, on {}\n", right, logits.size(), backend.device().str());
}
