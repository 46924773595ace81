// Modules, first values, the arena, optimizers, schedules and metrics.
#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "nn/arena.h"
#include "nn/attention.h"
#include "nn/batch_norm.h"
#include "nn/conv2d.h"
#include "nn/dropout.h"
#include "nn/layer_norm.h"
#include "nn/linear.h"
#include "nn/metrics.h"
#include "nn/moving_average.h"
#include "nn/optimizer.h"
#include "nn/schedule.h"
#include "op_cases.h"
#include "tensor/error.h"

using namespace sagitta;
using namespace sagitta::nn;
using autograd::Variable;

namespace {

struct SmallNet : Module {
  explicit SmallNet(Context& context)
      : conv(this, "stem.conv", context, 3, 8, {.kernel = 3, .padding = 1}),
        norm(this, "stem.norm", context, 8),
        layers(this, "layers"),
        head(this, "head", context, 8, 2) {
    for (int i = 0; i < 2; ++i) layers.add(context, 8, 8);
  }
  Variable operator()(const Variable& x) {
    Variable y = autograd::global_avg_pool(norm(conv(x), {.residual = {}, .relu = true}));
    for (Linear& layer : layers) y = autograd::gelu(layer(y));
    return head(y);
  }
  Conv2d conv;
  BatchNorm norm;
  ModuleList<Linear> layers;
  Linear head;
};

std::vector<double> host(const Tensor& tensor) { return test::values_of(tensor); }

}  // namespace

TEST_CASE("parameters and buffers carry their full names in registration order") {
  Context context(cpu_backend());
  SmallNet net(context);
  std::vector<std::string> names;
  for (const NamedParameter& named : net.named_parameters()) names.push_back(named.name);
  CHECK(names == std::vector<std::string>{"stem.conv.weight", "stem.norm.weight", "stem.norm.bias",
                                          "layers.0.weight", "layers.0.bias", "layers.1.weight",
                                          "layers.1.bias", "head.weight", "head.bias"});
  CHECK(net.named_buffers().size() == 3);
  CHECK(net.named_buffers()[0].name == "stem.norm.running_mean");
  net.eval();
  CHECK_FALSE(net.layers[1].training());
  net.train();
  CHECK(net.norm.training());
}

TEST_CASE("first values have the declared distribution, depend on the seed and on nothing else") {
  Context context(cpu_backend(), DType::f64);
  Module root;
  Conv2d conv(&root, "conv", context, 16, 64, {.kernel = 3, .weight_init = Init::kaiming_normal(64 * 9)});
  Linear linear(&root, "linear", context, 100, 200);
  initialize(root, 5);
  const auto weights = host(conv.weight.value());
  double mean = 0, square = 0;
  for (double w : weights) mean += w, square += w * w;
  mean /= static_cast<double>(weights.size());
  const double std_expected = std::sqrt(2.0 / (64 * 9));
  CHECK(std::abs(mean) < 4 * std_expected / std::sqrt(static_cast<double>(weights.size())));
  CHECK(std::sqrt(square / static_cast<double>(weights.size())) ==
        doctest::Approx(std_expected).epsilon(0.05));
  double largest = 0;
  for (double w : host(linear.weight.value())) largest = std::max(largest, std::abs(w));
  CHECK(largest <= 0.1);
  CHECK(largest > 0.099);
  initialize(root, 6);
  CHECK(host(conv.weight.value()) != weights);
  initialize(root, 5);
  CHECK(host(conv.weight.value()) == weights);
}

TEST_CASE("a batch norm in one sweep with a convolution refuses one with a bias") {
  Context context(cpu_backend());
  Module root;
  const Conv2d plain(&root, "plain", context, 3, 8, {}),
      biased(&root, "biased", context, 3, 8, {.bias = true});
  BatchNorm norm(&root, "norm", context, 8);
  initialize(root, 1);
  root.eval();
  const autograd::NoGradient no_gradient;
  const Variable x(zeros(cpu_backend(), {1, 5, 5, 3}, DType::f32));
  CHECK_NOTHROW(norm.after(plain, x, {}));
  CHECK_THROWS_WITH_AS(norm.after(biased, x, {}), doctest::Contains("BatchNorm::after"), Error);
}

TEST_CASE("the arena keeps the values, receives the gradients and aligns every parameter") {
  Context context(cpu_backend(), DType::f64);
  SmallNet net(context);
  initialize(net, 1);
  const auto before = host(net.head.weight.value());
  ParameterArena arena(net, 0.1, DecayPolicy::huggingface);
  CHECK(host(net.head.weight.value()) == before);
  const Tensor x = test::random_like(net.head.weight.value(), {2, 5, 5, 3}, 4);
  autograd::backward(autograd::sum(autograd::square(net(Variable(x)))));
  arena.complete_gradients();
  const auto flat = host(arena.gradients());
  for (const auto& entry : arena.entries()) {
    CAPTURE(entry.name);
    CHECK(entry.offset % ParameterArena::kAlignment == 0);
    const auto own = host(entry.parameter->leaf().gradient());
    for (std::size_t i = 0; i < own.size(); ++i)
      REQUIRE(flat[static_cast<std::size_t>(entry.offset) + i] == own[i]);
  }
  arena.clear_gradients();
  arena.complete_gradients();  // nothing ran: every gradient is zero
  for (double g : host(arena.gradients())) REQUIRE(g == 0);
}

TEST_CASE("weight decay reaches the parameters its policy names") {
  CHECK(decays(DecayPolicy::all, Role::layer_norm_bias));
  CHECK(decays(DecayPolicy::huggingface, Role::batch_norm_weight));
  CHECK_FALSE(decays(DecayPolicy::huggingface, Role::batch_norm_bias));
  CHECK_FALSE(decays(DecayPolicy::huggingface, Role::layer_norm_weight));
  CHECK_FALSE(decays(DecayPolicy::huggingface, Role::bias));
  CHECK(decays(DecayPolicy::huggingface, Role::embedding));
  CHECK(decays(DecayPolicy::torchvision, Role::bias));
  CHECK_FALSE(decays(DecayPolicy::torchvision, Role::batch_norm_weight));
  CHECK_FALSE(decays(DecayPolicy::weights, Role::embedding));

  Context context(cpu_backend(), DType::f64);
  Module root;
  Linear linear(&root, "linear", context, 3, 3);
  initialize(root, 2);
  const auto weight = host(linear.weight.value()), bias = host(linear.bias->value());
  ParameterArena arena(root, 0.5, DecayPolicy::weights);
  Sgd sgd(arena, {});
  write_step_state(const_cast<Tensor&>(context.step_state()), {.learning_rate = 0.1});
  sgd.step(context.step_state());  // no gradient: decay alone
  for (std::size_t i = 0; i < weight.size(); ++i)
    CHECK(host(linear.weight.value())[i] == doctest::Approx(weight[i] * (1 - 0.1 * 0.5)).epsilon(1e-12));
  CHECK(host(linear.bias->value()) == bias);
}

TEST_CASE("parameters learn at their own rates, and frozen modules do not change at all") {
  Context context(cpu_backend(), DType::f64);
  SmallNet net(context);
  initialize(net, 1);
  ParameterArena arena(net, 0.5, DecayPolicy::all, [&](const Parameter& parameter) {
    return &parameter == &net.head.weight ? 0.25 : 1.0;
  });
  Sgd sgd(arena, {});
  write_step_state(const_cast<Tensor&>(context.step_state()), {.learning_rate = 0.1});
  const Tensor x = test::random_like(net.head.weight.value(), {2, 5, 5, 3}, 4);
  const auto step = [&] {
    autograd::backward(autograd::sum(autograd::square(net(Variable(x)))));
    sgd.step(context.step_state());
  };
  const auto head = host(net.head.weight.value());
  autograd::backward(autograd::sum(autograd::square(net(Variable(x)))));
  const auto gradient = host(net.head.weight.leaf().gradient());
  sgd.step(context.step_state());
  for (std::size_t i = 0; i < head.size(); ++i)
    CHECK(host(net.head.weight.value())[i] ==
          doctest::Approx(head[i] - 0.025 * (gradient[i] + 0.5 * head[i])).epsilon(1e-12));

  // All but the head.
  net.freeze();
  net.head.freeze(false);
  arena.settle_frozen();
  net.train();
  const auto values = host(arena.values());
  std::vector<std::vector<double>> buffers;
  for (const NamedBuffer& named : net.named_buffers())
    if (named.buffer->value().dtype() == DType::f64) buffers.push_back(host(named.buffer->value()));
  step();
  const auto gradients = host(arena.gradients()), after = host(arena.values());
  for (const auto& entry : arena.entries()) {
    CAPTURE(entry.name);
    const auto begin = static_cast<std::size_t>(entry.offset);
    const std::size_t end = begin + static_cast<std::size_t>(entry.parameter->shape().numel());
    const bool same = std::equal(after.begin() + static_cast<std::ptrdiff_t>(begin),
                                 after.begin() + static_cast<std::ptrdiff_t>(end),
                                 values.begin() + static_cast<std::ptrdiff_t>(begin));
    CHECK(same == entry.parameter->frozen());
    if (entry.parameter->frozen())
      for (std::size_t i = begin; i < end; ++i) REQUIRE(gradients[i] == 0);
  }
  std::size_t i = 0;
  for (const NamedBuffer& named : net.named_buffers())
    if (named.buffer->value().dtype() == DType::f64) CHECK(host(named.buffer->value()) == buffers.at(i++));
  REQUIRE(i >= 2);

  net.freeze(false);
  arena.settle_frozen();
  step();
  CHECK(host(arena.values()) != after);
  for (const NamedBuffer& named : net.named_buffers())
    if (named.name.ends_with("running_mean")) CHECK(host(named.buffer->value()) != buffers.front());
}

TEST_CASE("a moving average is of the values since the first update, and gives the trained ones back") {
  Context context(cpu_backend(), DType::f64);
  SmallNet net(context);
  initialize(net, 1);
  ParameterArena arena(net, 0, DecayPolicy::all);
  MovingAverage average(net, arena, 0.75);
  CHECK_THROWS_AS(average.apply(0), Error);
  CHECK_THROWS_AS(average.restore(), Error);
  const auto n = static_cast<std::size_t>(net.head.weight.shape().numel());
  std::vector<double> sum(n), first, last;
  double weights = 0;
  for (int update = 1; update <= 3; ++update) {
    for (double& v : sum) v *= 0.75;
    weights = 0.75 * weights + 0.25;
    std::vector<double> values(n);
    for (std::size_t i = 0; i < n; ++i) values[i] = update * 10 + static_cast<double>(i);
    for (std::size_t i = 0; i < n; ++i) sum[i] += 0.25 * values[i];
    net.head.weight.assign(values);
    for (const NamedBuffer& named : net.named_buffers())
      if (named.name.ends_with("running_var")) cpu_backend().fill(named.buffer->value(), update);
    average.update();
    last = values;
  }
  // Going on after a look at it must not differ from going on without one.
  for (int look = 0; look < 2; ++look) {
    average.apply(3);
    CHECK_THROWS_AS(average.apply(3), Error);
    for (std::size_t i = 0; i < n; ++i)
      CHECK(host(net.head.weight.value())[i] == doctest::Approx(sum[i] / weights).epsilon(1e-12));
    for (const NamedBuffer& named : net.named_buffers())
      if (named.name.ends_with("running_var"))
        CHECK(host(named.buffer->value())[0] ==
              doctest::Approx((1 * 0.5625 + 2 * 0.75 + 3) / (0.5625 + 0.75 + 1)));
    std::vector<double> trained;
    for (const auto& [name, tensor] : average.state())
      if (name == "trained.parameters") trained = host(tensor);
    CHECK(trained != host(arena.values()));
    average.restore();
    CHECK(trained == host(arena.values()));
    CHECK(host(net.head.weight.value()) == last);
  }
}

TEST_CASE("gradients are clipped to the norm") {
  Context context(cpu_backend(), DType::f64);
  Module root;
  Linear linear(&root, "linear", context, 4, 1, {.bias = false});
  linear.weight.assign({0, 0, 0, 0});
  ParameterArena arena(root, 0, DecayPolicy::all);
  Sgd sgd(arena, {.max_norm = 1});
  write_step_state(const_cast<Tensor&>(context.step_state()), {.learning_rate = 1});
  const Variable x(from_host<double>(cpu_backend(), {1, 4}, {3, 0, 4, 0}));
  autograd::backward(linear(x));
  sgd.step(context.step_state());
  CHECK(sgd.gradient_norm() == doctest::Approx(5));
  CHECK(host(linear.weight.value())[0] == doctest::Approx(-3.0 / 5).epsilon(1e-6));
}

TEST_CASE("schedules agree with torch's SequentialLR and the Trainer's closed forms") {
  // torch.optim.lr_scheduler.SequentialLR([LinearLR(0.01, total_iters=5), CosineAnnealingLR(15)], [5]), base
  // 0.5.
  const double golden[] = {.005,    .104,    .203,    .302,    .401,    .5,      .494537,
                           .478386, .452254, .417283, .375,    .327254, .276132, .223868,
                           .172746, .125,    .082717, .047746, .021614, .005463};
  const Schedule cosine{.kind = Schedule::Kind::cosine,
                        .unit = Schedule::Unit::epoch,
                        .base = 0.5,
                        .floor = 0,
                        .warmup = 5,
                        .warmup_start = 0.01,
                        .total = 20};
  for (std::int64_t epoch = 0; epoch < 20; ++epoch) {
    CHECK(cosine.at(epoch * 7, 7) == doctest::Approx(golden[epoch]).epsilon(1e-4));
    CHECK(cosine.at(epoch * 7 + 6, 7) == cosine.at(epoch * 7, 7));
  }
  const Schedule linear{.kind = Schedule::Kind::linear, .base = 1, .warmup = 2, .total = 10};
  CHECK(linear.at(0, 1) == 0);
  CHECK(linear.at(1, 1) == 0.5);
  CHECK(linear.at(2, 1) == 1);
  CHECK(linear.at(9, 1) == doctest::Approx(1.0 / 8));
  CHECK(linear.at(10, 1) == 0);
  const Schedule steps{.kind = Schedule::Kind::step, .base = 1, .total = 90, .step_size = 30, .gamma = 0.1};
  CHECK(steps.at(29, 1) == 1);
  CHECK(steps.at(30, 1) == doctest::Approx(0.1));
  CHECK(steps.at(60, 1) == doctest::Approx(0.01));
  const Schedule trainer_cosine{.kind = Schedule::Kind::cosine, .base = 2, .warmup = 3, .total = 11};
  CHECK(trainer_cosine.at(5, 1) == doctest::Approx(2 * 0.5 * (1 + std::cos(std::numbers::pi * 2 / 8))));
  CHECK(Schedule{.base = 3}.at(1000, 1) == 3);
  CHECK_THROWS_AS(parse_schedule_kind("cosin"), Error);
}

TEST_CASE("metrics agree with scikit-learn on ties, and are NaN where undefined") {
  const std::vector<float> scores{0.1F, 0.4F, 0.35F, 0.8F, 0.4F, 0.7F}, targets{0, 0, 1, 1, 1, 0};
  // sklearn.metrics: roc_auc_score 0.6111111, average_precision_score 0.7 for these.
  CHECK(auroc(scores, targets) == doctest::Approx(0.6111111).epsilon(1e-6));
  CHECK(average_precision(scores, targets) == doctest::Approx(0.7).epsilon(1e-6));
  const Confusion at = at_threshold(scores, targets, 0.4);
  CHECK(at.ppv() == doctest::Approx(0.5));
  CHECK(at.sensitivity() == doctest::Approx(2.0 / 3));
  CHECK(at.f1() == doctest::Approx(4.0 / 7));
  const std::vector<float> none{0, 0, 0, 0, 0, 0};
  CHECK(std::isnan(auroc(scores, none)));
  CHECK(std::isnan(average_precision(scores, none)));
  CHECK(exact_match(scores, targets, 2, 0.5) == doctest::Approx(1.0 / 3));  // only the first row
  CHECK(mean_defined(std::vector<double>{1, NAN, 3}) == 2);
  CHECK_THROWS_AS(auroc(scores, std::vector<float>{1}), Error);
}
