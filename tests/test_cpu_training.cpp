// Dropout, losses and optimizers of the CPU backend.
#include "kernel_reference.h"

using namespace sagitta;
using namespace sagitta::testing;

namespace {

Backend& b = cpu_backend();

// The gradient of loss_of(xs), element by element.
template <class Loss>
Values central_differences(const Loss& loss_of, const Values& xs) {
  Values numeric(xs.size());
  for (std::size_t i = 0; i < xs.size(); ++i) {
    Values up = xs, down = xs;
    up[i] += 1e-5;
    down[i] -= 1e-5;
    numeric[i] = (loss_of(up) - loss_of(down)) / 2e-5;
  }
  return numeric;
}

}  // namespace

TEST_CASE("dropout drops the share p by the counter-based generator, scales the rest, and repeats per step") {
  const Index n = 100003;
  const DropoutParams params{0.3, 9};
  const StepState step{.seed = 5, .micro_step = 2};
  const Tensor x = random_tensor({n}, DType::f64, 1), state = state_tensor(step);
  const Values xs = values_of(x);
  Values expected(xs.size());
  double kept = 0;
  for (std::size_t i = 0; i < xs.size(); ++i)
    if (random::uniform(mask_key(step, 9), i) >= 0.3) {
      expected[i] = xs[i] / 0.7;
      kept += 1;
    }
  CHECK(kept / static_cast<double>(n) == doctest::Approx(0.7).epsilon(0.01));
  Tensor y = poisoned({n}, DType::f64);
  b.dropout(params, state, x, y);
  CHECK(difference(y, expected) < 1e-12);
  check_target({n}, DType::f64, expected, [&](const Target& t) { b.dropout_backward(params, state, x, t); });
  Tensor next = poisoned({n}, DType::f64);
  b.dropout(params, state_tensor({.seed = 5, .micro_step = 3}), x, next);
  CHECK(values_of(next) != values_of(y));
  Tensor same_mask(b, {n}, DType::f32);  // every dtype drops the same elements
  b.dropout(params, state, full(b, {n}, DType::f32, 1), same_mask);
  const Values masks = values_of(same_mask);
  bool equal = true;
  for (std::size_t i = 0; i < masks.size(); ++i) equal = equal && (masks[i] == 0) == (expected[i] == 0);
  CHECK(equal);
}

TEST_CASE("cross entropy: smoothing, ignored rows, huge logits; the gradient agrees with differences") {
  const Index rows = 4, classes = 5;
  const std::vector<std::int64_t> labels = {2, -100, 0, 4};
  const Tensor label = from_host(b, {rows}, labels);
  for (const double smoothing : {0.0, 0.2}) {
    const CrossEntropyParams params{.label_smoothing = smoothing};
    const auto loss_of = [&](const Values& x) {
      double loss = 0;
      for (std::size_t r = 0; r < labels.size(); ++r) {
        if (labels[r] < 0) continue;
        double sum = 0;
        for (std::size_t k = 0; k < 5; ++k) sum += std::exp(x[r * 5 + k]);
        for (std::size_t k = 0; k < 5; ++k) {
          const double target =
              smoothing / 5 + (static_cast<std::int64_t>(k) == labels[r] ? 1 - smoothing : 0);
          loss -= target * (x[r * 5 + k] - std::log(sum)) / 3;
        }
      }
      return loss;
    };
    for_both_dtypes([&](DType dtype) {
      const Tensor logits = random_tensor({rows, classes}, dtype, 1);
      Tensor loss = poisoned({1}, dtype), gradient = poisoned({rows, classes}, dtype);
      b.softmax_cross_entropy(params, logits, label, loss, gradient);
      CHECK(scalar_of(loss) == doctest::Approx(loss_of(values_of(logits))).epsilon(1e-6));
      const Values xs = values_of(logits);
      CHECK(difference(gradient, central_differences(loss_of, xs)) < 1e-7);
    });
  }
  Tensor loss = poisoned({1}, DType::f32), gradient = poisoned({1, 3}, DType::f32);
  b.softmax_cross_entropy({}, tensor_of({1, 3}, DType::f32, {1000, 0, -1000}),
                          from_host<std::int64_t>(b, {1}, {1}), loss, gradient);
  CHECK(scalar_of(loss) == 1000);
  CHECK(values_of(gradient) == Values{1, -1, 0});
}

TEST_CASE(
    "binary cross entropy on logits: weights, class weights, large logits; the gradient agrees with "
    "differences") {
  const Index rows = 3, classes = 4;
  const Values target = {0, 1, 0.25, 1, 1, 0, 0, 1, 0.5, 1, 1, 0}, positive = {1, 2.5, 0.5, 3};
  const Values weights = random_values(12, 8);
  for (int variant = 0; variant < 4; ++variant) {
    const bool with_positive = (variant & 1) != 0, with_weight = (variant & 2) != 0;
    const auto loss_of = [&](const Values& x) {
      double loss = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double p = 1 / (1 + std::exp(-x[i])), factor = with_positive ? positive[i % 4] : 1;
        loss -= (with_weight ? weights[i] : 1) *
                (factor * target[i] * std::log(p) + (1 - target[i]) * std::log(1 - p)) / 12;
      }
      return loss;
    };
    for_both_dtypes([&](DType dtype) {
      const Tensor logits = random_tensor({rows, classes}, dtype, 1);
      const Tensor pos_weight = with_positive ? tensor_of({classes}, dtype, positive) : Tensor();
      const Tensor weight = with_weight ? tensor_of({rows, classes}, dtype, weights) : Tensor();
      Tensor loss = poisoned({1}, dtype), gradient = poisoned({rows, classes}, dtype);
      b.bce_with_logits(logits, tensor_of({rows, classes}, dtype, target), pos_weight, weight, loss,
                        gradient);
      const Values xs = values_of(logits);
      CHECK(scalar_of(loss) == doctest::Approx(loss_of(xs)).epsilon(1e-6));
      CHECK(difference(gradient, central_differences(loss_of, xs)) < 1e-7);
    });
  }
  Tensor loss = poisoned({1}, DType::f32), gradient = poisoned({1, 2}, DType::f32);
  b.bce_with_logits(tensor_of({1, 2}, DType::f32, {800, -800}), tensor_of({1, 2}, DType::f32, {0, 1}), {}, {},
                    loss, gradient);
  CHECK(scalar_of(loss) == 800);
  CHECK(values_of(gradient) == Values{0.5, -0.5});
}

TEST_CASE("SGD and Adam follow PyTorch's update equations over segments, with clipping") {
  const Index n = 40000;
  const UpdateSegments segments{from_host<std::int64_t>(b, {4}, {10, 20000, 39000, n}),
                                from_host<float>(b, {4}, {0.25f, 0.0f, 0.5f, 0.5f}),
                                from_host<float>(b, {4}, {0.5f, 1.0f, 1.0f, 0.0f})};
  const auto decay_of = [](Index i) { return i < 10 ? 0.25 : i < 20000 ? 0.0 : 0.5; };
  for_both_dtypes([&](DType dtype) {
    for (const double max_norm : {0.0, 3.0}) {
      for (int variant = 0; variant < 5; ++variant) {
        CAPTURE(variant);
        const bool adam = variant >= 3, decoupled = variant == 4, nesterov = variant == 2;
        const double mu = variant == 0 ? 0 : 0.9;
        Tensor values = random_tensor({n}, dtype, 1), norm2(b, {1}, dtype);
        Tensor m = variant == 0 ? Tensor() : zeros(b, {n}, dtype), v = zeros(b, {n}, dtype);
        Values p = values_of(values), first(p.size()), second(p.size());
        for (std::uint32_t step = 1; step <= 3; ++step) {
          const Tensor gradient = random_tensor({n}, dtype, 10 + step);
          const Values g = values_of(gradient);
          b.squared_norm(gradient, norm2);
          const double clip =
              max_norm > 0 ? std::min(1.0, max_norm / (std::sqrt(scalar_of(norm2)) + 1e-6)) : 1;
          const ParameterUpdate update{.segments = segments,
                                       .state = state_tensor({.optimizer_step = step, .learning_rate = 0.05}),
                                       .norm2 = norm2,
                                       .loss_scale = {},
                                       .gradient = gradient,
                                       .values = values,
                                       .copy = {}};
          if (adam)
            b.adam({.decoupled = decoupled, .max_norm = max_norm}, update, m, v);
          else
            b.sgd({mu, nesterov, max_norm}, update, m);
          for (Index index = 0; index < 39000; ++index) {  // what follows is frozen
            const std::size_t i = static_cast<std::size_t>(index);
            const double decay = decay_of(index), rate = index < 10 ? 0.025 : 0.05;
            if (adam) {
              if (decoupled) p[i] *= 1 - rate * decay;
              const double d = clip * g[i] + (decoupled ? 0 : decay * p[i]);
              first[i] = 0.9 * first[i] + 0.1 * d;
              second[i] = 0.999 * second[i] + 0.001 * d * d;
              p[i] -= rate / (1 - std::pow(0.9, step)) * first[i] /
                      (std::sqrt(second[i]) / std::sqrt(1 - std::pow(0.999, step)) + 1e-8);
            } else {
              const double d = clip * g[i] + decay * p[i];
              first[i] = mu * first[i] + d;
              p[i] -= rate * (nesterov ? d + mu * first[i] : first[i]);
            }
          }
        }
        CHECK(difference(values, p) < tolerance(dtype));
        if (m) CHECK(difference(m, first) < tolerance(dtype));
      }
    }
  });
}

TEST_CASE("a gradient that is not finite changes nothing, with or without a loss scale") {
  const UpdateSegments segments{from_host<std::int64_t>(b, {1}, {8}), from_host<float>(b, {1}, {0.1F}),
                                from_host<float>(b, {1}, {1})};
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {kNaN, infinity, -infinity}) {
    Tensor values = random_tensor({8}, DType::f32, 1), m = zeros(b, {8}, DType::f32), v = m.like();
    b.fill(v, 0);
    const Values before = values_of(values);
    Values g(8, 1.0);
    g[5] = bad;
    const Tensor gradient = tensor_of({8}, DType::f32, g);
    Tensor norm2(b, {1}, DType::f32);
    b.squared_norm(gradient, norm2);
    const ParameterUpdate update{.segments = segments,
                                 .state = state_tensor({.optimizer_step = 1, .learning_rate = 0.05}),
                                 .norm2 = norm2,
                                 .loss_scale = {},
                                 .gradient = gradient,
                                 .values = values,
                                 .copy = {}};
    b.adam({}, update, m, v);
    b.sgd({.momentum = 0.9}, update, m);
    CHECK(values_of(values) == before);
    CHECK(values_of(m) == Values(8, 0.0));
  }
}

TEST_CASE("an exponential moving average follows its formula") {
  for_both_dtypes([&](DType dtype) {
    const Index n = 40001;
    Tensor mean = random_tensor({n}, dtype, 1);
    Values expected = values_of(mean);
    for (std::uint32_t step = 1; step <= 3; ++step) {
      const Tensor x = random_tensor({n}, dtype, 10 + step);
      const Values in = values_of(x);
      b.update_average(0.75, x, mean);
      for (std::size_t i = 0; i < in.size(); ++i) expected[i] = 0.75 * expected[i] + 0.25 * in[i];
    }
    CHECK(difference(mean, expected) < tolerance(dtype));
  });
}

TEST_CASE("a loss scale is taken out of the gradient before clipping, and what overflowed changes nothing") {
  const Index n = 1000;
  const double factor = 1024;
  const UpdateSegments segments{from_host<std::int64_t>(b, {1}, {n}), from_host<float>(b, {1}, {0.1F}),
                                from_host<float>(b, {1}, {1})};
  for (const bool adam : {false, true}) {
    CAPTURE(adam);
    Tensor plain = random_tensor({n}, DType::f32, 1), scaled = random_tensor({n}, DType::f32, 1);
    Tensor m = zeros(b, {n}, DType::f32), v = m.like(), scaled_m = m.like(), scaled_v = m.like();
    for (Tensor* moment : {&v, &scaled_m, &scaled_v}) b.fill(*moment, 0);
    Tensor copy = full(b, {n}, DType::bf16, 0);
    Tensor scale = from_host<float>(b, {3}, {static_cast<float>(factor), 5, 0});
    std::uint32_t scaled_step = 1;
    const auto step = [&](Tensor& values, Tensor& first, Tensor& second, const Tensor& gradient,
                          std::uint32_t number, const Tensor& loss_scale) {
      Tensor norm2(b, {1}, DType::f32);
      b.squared_norm(gradient, norm2);
      const ParameterUpdate update{.segments = segments,
                                   .state = state_tensor({.optimizer_step = number, .learning_rate = 0.05}),
                                   .norm2 = norm2,
                                   .loss_scale = loss_scale,
                                   .gradient = gradient,
                                   .values = values,
                                   .copy = loss_scale ? copy : Tensor()};
      if (adam)
        b.adam({.max_norm = 2}, update, first, second);
      else
        b.sgd({.momentum = 0.9, .max_norm = 2}, update, first);
      if (loss_scale) b.update_loss_scale({.interval = 100}, norm2, scale);
    };
    for (std::uint32_t number = 1; number <= 4; ++number) {
      const Tensor gradient = random_tensor({n}, DType::f32, 20 + number);
      Tensor large = gradient.like();
      b.scale(gradient, factor, {large});
      if (number == 3) {
        // An overflow in between: the step is counted by the caller, but must leave no trace.
        const Values before = values_of(scaled), first = values_of(scaled_m), copied = values_of(copy);
        Tensor overflowed = large.like();
        b.scale(large, 1e38, {overflowed});
        step(scaled, scaled_m, scaled_v, overflowed, scaled_step++, scale);
        CHECK(values_of(scaled) == before);
        CHECK(values_of(scaled_m) == first);
        CHECK(values_of(copy) == copied);
        CHECK(values_of(scale) == Values{factor / 2, 0, 1});
        scale = from_host<float>(b, {3}, {static_cast<float>(factor), 0, 1});
      }
      step(plain, m, v, gradient, number, {});
      step(scaled, scaled_m, scaled_v, large, scaled_step++, scale);
      CHECK(difference(scaled, values_of(plain)) < 1e-6);
      CHECK(values_of(copy) == values_of(tensor_of({n}, DType::bf16, values_of(scaled))));
    }
  }
}

TEST_CASE("the loss scale grows after enough good steps and backs off after a bad one") {
  Tensor scale = from_host<float>(b, {3}, {8, 0, 0});
  const LossScaleParams params{.growth = 4, .backoff = 0.25, .interval = 3};
  const auto after = [&](double norm2) {
    b.update_loss_scale(params, full(b, {1}, DType::f32, norm2), scale);
    return values_of(scale);
  };
  CHECK(after(1) == Values{8, 1, 0});
  CHECK(after(0) == Values{8, 2, 0});
  CHECK(after(1e30) == Values{32, 0, 0});
  CHECK(after(1) == Values{32, 1, 0});
  CHECK(after(kNaN) == Values{8, 0, 1});
  CHECK(after(std::numeric_limits<double>::infinity()) == Values{2, 0, 2});
}

TEST_CASE("pictures are cut, mirrored and normalized; what lies outside is air") {
  const Shape in{2, 5, 6, 3}, out{2, 4, 5, 3};
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(in.numel()));
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 37 + 11);
  const ImageParams params{.mean = {0.5F, 0.25F, 0.1F}, .std = {0.5F, 0.2F, 0.3F}};
  const std::vector<std::int32_t> crops{0, 0, 0, 1, 1, 1, -2, 3, 0, 3, -4, 1, -9, 0, 0, 0, 60, 1};
  for (std::size_t first = 0; first < crops.size(); first += 6) {
    CAPTURE(first);
    const std::vector<std::int32_t> crop(crops.begin() + static_cast<std::ptrdiff_t>(first),
                                         crops.begin() + static_cast<std::ptrdiff_t>(first) + 6);
    Values expected;
    for (Index n = 0; n < out[0]; ++n)
      for (Index y = 0; y < out[1]; ++y)
        for (Index x = 0; x < out[2]; ++x)
          for (Index c = 0; c < 3; ++c) {
            const std::int32_t* window = crop.data() + 3 * n;
            const Index row = window[0] + y, column = window[1] + (window[2] ? out[2] - 1 - x : x);
            const bool inside = row >= 0 && row < in[1] && column >= 0 && column < in[2];
            const double value =
                inside ? bytes[static_cast<std::size_t>(((n * in[1] + row) * in[2] + column) * 3 + c)] : 0;
            expected.push_back((value / 255 - static_cast<double>(params.mean[c])) /
                               static_cast<double>(params.std[c]));
          }
    for_both_dtypes([&](DType dtype) {
      Tensor y = poisoned(out, dtype);
      b.normalize_image(params, from_host(b, in, bytes), from_host(b, {2, 3}, crop), y);
      CHECK(difference(y, expected) < tolerance(dtype));
    });
  }
}
