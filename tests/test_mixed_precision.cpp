// Master values in f32, 16-bit copies that the ops read, and the loss scale. The CPU computes nothing in 16
// bits, so here the copies are cast up before an op takes them; the ops themselves run in 16 bits in the
// tests of cuda/.
#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops.h"
#include "nn/arena.h"
#include "nn/batch_norm.h"
#include "nn/checkpoint.h"
#include "nn/layer_norm.h"
#include "nn/linear.h"
#include "nn/optimizer.h"
#include "op_cases.h"
#include "temp_folder.h"
#include "tensor/error.h"

using namespace sagitta;
using namespace sagitta::nn;
using autograd::Variable;
using Values = std::vector<double>;

namespace {

struct Net : Module {
  explicit Net(Context& context)
      : linear(this, "linear", context, 5, 3),
        norm(this, "norm", context, 3),
        batch_norm(this, "bn", context, 3) {}
  // Some function of all of linear's values that is not linear in them.
  Variable loss() const { return autograd::sum(autograd::square(autograd::cast(linear.weight, DType::f32))); }
  Linear linear;
  LayerNorm norm;
  BatchNorm batch_norm;
};

Values host(const Tensor& tensor) { return test::values_of(tensor); }

Values rounded(const Tensor& tensor, DType dtype) {
  Tensor narrow(tensor.backend(), tensor.shape(), dtype);
  tensor.backend().convert(tensor, narrow);
  return host(narrow);
}

void set_learning_rate(const Context& context, double rate) {
  Tensor state = context.step_state();
  write_step_state(state, {.learning_rate = rate});
}

}  // namespace

TEST_CASE("in a 16-bit context values are f32 and all but the norms have a copy") {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    Context context(cpu_backend(), dtype);
    Net net(context);
    initialize(net, 3);
    for (const NamedParameter& named : net.named_parameters()) {
      CAPTURE(named.name);
      const Parameter& parameter = *named.parameter;
      CHECK(parameter.value().dtype() == DType::f32);
      CHECK(static_cast<bool>(parameter.copy()) == named.name.starts_with("linear"));
      CHECK(parameter.variable().value().dtype() == (parameter.copy() ? dtype : DType::f32));
      if (parameter.copy()) CHECK(host(parameter.copy()) == rounded(parameter.value(), dtype));
    }
    CHECK(host(net.linear.weight.copy()) != host(net.linear.weight.value()));
    CHECK(net.batch_norm.running_var.value().dtype() == DType::f32);
  }
  Context wide(cpu_backend(), DType::f64);
  Net net(wide);
  CHECK(net.linear.weight.value().dtype() == DType::f64);
  CHECK_FALSE(net.linear.weight.copy());
}

TEST_CASE("gradients reach the f32 value through the copy, from every use, and add up") {
  Context context(cpu_backend(), DType::bf16);
  Net net(context);
  initialize(net, 3);
  const Values copy = host(net.linear.weight.copy());
  for (int pass = 1; pass <= 2; ++pass) {
    autograd::backward(autograd::add(net.loss(), autograd::scale(net.loss(), 2)));
    const Tensor gradient = net.linear.weight.leaf().gradient();
    REQUIRE(gradient.dtype() == DType::f32);
    // Each use hands on its gradient 2 w (or 4 w) in bf16, where both are exact.
    for (std::size_t i = 0; i < copy.size(); ++i)
      CHECK(host(gradient)[i] == doctest::Approx(pass * 6 * copy[i]).epsilon(1e-6));
  }
}

TEST_CASE("the arena holds the copies, and an update too small for 16 bits is not lost") {
  Context context(cpu_backend(), DType::bf16);
  Net net(context);
  initialize(net, 3);
  ParameterArena arena(net, 0, DecayPolicy::all);
  CHECK(arena.copies().dtype() == DType::bf16);
  CHECK(host(net.linear.weight.copy()) == rounded(net.linear.weight.value(), DType::bf16));
  Sgd sgd(arena, {});
  set_learning_rate(context, 1e-5);
  const Values value = host(net.linear.weight.value()), copy = host(net.linear.weight.copy());
  for (int step = 0; step < 100; ++step) {
    autograd::backward(net.loss());
    sgd.step(context.step_state());
    CHECK(host(net.linear.weight.copy()) == rounded(net.linear.weight.value(), DType::bf16));
  }
  // 100 steps of 1e-5 * 2 w: two thousandths of the value, about one unit in the last place of its copy.
  int changed_copies = 0;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const double expected = value[i] - 1e-3 * 2 * copy[i];
    CHECK(host(net.linear.weight.value())[i] == doctest::Approx(expected).epsilon(1e-4));
    changed_copies += host(net.linear.weight.copy())[i] != copy[i];
  }
  CHECK(changed_copies > 0);
}

TEST_CASE("a checkpoint keeps the f32 values and loading refreshes the copies") {
  const testing::TempFolder folder;
  Context context(cpu_backend(), DType::f16);
  Net net(context), other(context);
  initialize(net, 3);
  initialize(other, 4);
  ParameterArena arena(other, 0, DecayPolicy::all);
  save(net, folder / "net.safetensors");
  load(other, {safetensors::File::open(folder / "net.safetensors")});
  CHECK(host(other.linear.weight.value()) == host(net.linear.weight.value()));
  CHECK(host(other.linear.weight.copy()) == host(net.linear.weight.copy()));
  Context wide(cpu_backend());
  Net reference(wide);
  load(reference, {safetensors::File::open(folder / "net.safetensors")});
  CHECK(host(reference.linear.weight.value()) == host(net.linear.weight.value()));
}

TEST_CASE("a scaled loss gives the same steps, and one that overflows is skipped and reported") {
  Context context(cpu_backend());
  Net plain(context), scaled(context);
  initialize(plain, 3);
  initialize(scaled, 3);
  ParameterArena plain_arena(plain, 0, DecayPolicy::all), scaled_arena(scaled, 0, DecayPolicy::all);
  Sgd plain_sgd(plain_arena, {.max_norm = 0.5}), scaled_sgd(scaled_arena, {.max_norm = 0.5});
  CHECK_FALSE(plain_sgd.loss_scale());
  scaled_sgd.scale_loss({.interval = 2}, 4096);
  set_learning_rate(context, 0.1);
  const auto scaled_step = [&](double extra) {
    const Variable loss = autograd::scale(scaled.loss(), extra);
    autograd::backward(loss, scaled_sgd.scaled_seed(full(cpu_backend(), {1}, DType::f32, 1)));
    scaled_sgd.step(context.step_state());
  };
  const auto check_equal = [&] {
    const Values expected = host(plain.linear.weight.value());
    for (std::size_t i = 0; i < expected.size(); ++i)
      CHECK(host(scaled.linear.weight.value())[i] == doctest::Approx(expected[i]).epsilon(1e-6));
  };
  for (int step = 0; step < 2; ++step) {
    autograd::backward(plain.loss());
    plain_sgd.step(context.step_state());
    scaled_step(1);
    CHECK(scaled_sgd.gradient_norm() == doctest::Approx(plain_sgd.gradient_norm()).epsilon(1e-6));
    check_equal();
  }
  CHECK(host(scaled_sgd.loss_scale()) == Values{8192, 0, 0});
  scaled_step(1e36);
  CHECK_FALSE(std::isfinite(scaled_sgd.gradient_norm()));
  check_equal();
  CHECK(host(scaled_sgd.loss_scale()) == Values{4096, 0, 1});
  const auto state = scaled_sgd.state();
  REQUIRE(state.size() == 1);
  CHECK(state[0].first == "loss_scale");
}

TEST_CASE("an accumulation that a captured step goes on with is added to") {
  Context context(cpu_backend());
  Net net(context);
  initialize(net, 3);
  ParameterArena arena(net, 0, DecayPolicy::all);
  autograd::backward(net.loss());
  arena.complete_gradients();
  const Values once = host(arena.gradients());
  arena.clear_gradients();  // what the host believes is not what the captured step goes by
  arena.keep_gradients();
  autograd::backward(net.loss());
  const Values twice = host(arena.gradients());
  for (std::size_t i = 0; i < once.size(); ++i) CHECK(twice[i] == doctest::Approx(2 * once[i]));
}

TEST_CASE("losses and mixed inputs of different dtypes are refused") {
  Backend& b = cpu_backend();
  const Variable half(full(b, {2, 3}, DType::bf16, 0)), f32(full(b, {2, 3}, DType::f32, 0));
  CHECK_THROWS_WITH_AS(autograd::bce_with_logits(half, zeros(b, {2, 3}, DType::bf16)),
                       doctest::Contains("cast them first"), Error);
  CHECK_THROWS_WITH_AS(autograd::bce_with_logits(f32, zeros(b, {2, 3}, DType::f64)),
                       doctest::Contains("expected f32"), Error);
  CHECK_THROWS_WITH_AS(autograd::add(f32, half), doctest::Contains("cast it first"), Error);
  CHECK_THROWS_WITH_AS(autograd::linear(half, f32, {}), doctest::Contains("expected bf16"), Error);
  const Variable gamma(full(b, {3}, DType::bf16, 1));
  CHECK_THROWS_WITH_AS(autograd::layer_norm(half, gamma, gamma, 1e-5), doctest::Contains("expected f32"),
                       Error);
}
