// Memory, elementwise ops, dropout, losses and optimizers of the CPU backend.
#include <array>
#include <cstring>
#include <thread>

#include "kernel_reference.h"
#include "tensor/cpu/allocator.h"
#include "tensor/cpu/fast_math.h"
#include "tensor/error.h"

using namespace sagitta;
using namespace sagitta::testing;

namespace {

Backend& b = cpu_backend();

constexpr UnaryOp kUnaryOps[] = {UnaryOp::identity,   UnaryOp::relu,  UnaryOp::gelu,    UnaryOp::gelu_tanh,
                                 UnaryOp::quick_gelu, UnaryOp::silu,  UnaryOp::sigmoid, UnaryOp::tanh,
                                 UnaryOp::exp,        UnaryOp::square};

Tensor state_tensor(const StepState& state) {
  std::vector<std::uint8_t> bytes(sizeof state);
  std::memcpy(bytes.data(), &state, sizeof state);
  return from_host(b, {static_cast<Index>(bytes.size())}, bytes);
}

#ifdef __SANITIZE_ADDRESS__
constexpr bool kCaching = false;  // the allocator steps aside so that AddressSanitizer sees every block
#else
constexpr bool kCaching = true;
#endif

}  // namespace

TEST_CASE("the allocator reuses, splits and merges blocks, and counts them") {
  cpu::CachingAllocator allocator(std::size_t{64} << 20);
  constexpr std::size_t kBig = std::size_t{8} << 20;
  void* first = allocator.allocate(kBig);
  void* second = allocator.allocate(kBig);
  CHECK(reinterpret_cast<std::uintptr_t>(first) % 64 == 0);
  std::memset(first, 1, kBig);
  CHECK(allocator.use().in_use == 2 * kBig);
  allocator.release(first, kBig);
  allocator.release(second, kBig);
  CHECK(allocator.use().in_use == 0);
  CHECK(allocator.use().peak == 2 * kBig);
  if (!kCaching) return;
  CHECK(allocator.use().reserved == 2 * kBig);
  // Two neighbors merged serve one request of their size, without new memory.
  void* merged = allocator.allocate(2 * kBig);
  CHECK(merged == first);
  allocator.release(merged, 2 * kBig);
  // A small request takes a small piece, and the rest stays usable.
  void* small = allocator.allocate(100);
  void* rest = allocator.allocate(2 * kBig - 128);
  CHECK(allocator.use().reserved == 2 * kBig);
  allocator.release(rest, 2 * kBig - 128);
  allocator.release(small, 100);
  allocator.trim();
  CHECK(allocator.use().reserved < kBig);
  void* again = allocator.allocate(2 * kBig);  // trimmed memory works again
  std::memset(again, 2, 2 * kBig);
  allocator.release(again, 2 * kBig);
}

TEST_CASE(
    "the allocator takes the smallest block that fits, allows empty requests, and says when memory is out") {
  if (!kCaching) return;
  cpu::CachingAllocator allocator(std::size_t{64} << 20);
  void* large = allocator.allocate(1 << 20);
  void* wall = allocator.allocate(64);
  void* medium = allocator.allocate(1 << 16);
  void* other_wall = allocator.allocate(64);
  allocator.release(large, 1 << 20);
  allocator.release(medium, 1 << 16);
  CHECK(allocator.allocate(1 << 15) == medium);
  allocator.release(medium, 1 << 15);
  void* empty = allocator.allocate(0);
  CHECK(empty != nullptr);
  allocator.release(empty, 0);
  CHECK_THROWS_WITH_AS(allocator.allocate(std::size_t{100} << 20), doctest::Contains("use a smaller batch"),
                       Error);
  CHECK(allocator.allocate(1 << 20) == large);  // the failure left everything as it was
  allocator.release(large, 1 << 20);
  allocator.release(wall, 64);
  allocator.release(other_wall, 64);
  CHECK(allocator.use().in_use == 0);
}

TEST_CASE("a repeated pattern of allocations needs no more memory the second time") {
  if (!kCaching) return;
  cpu::CachingAllocator allocator(std::size_t{256} << 20);
  const auto step = [&] {
    std::vector<std::pair<void*, std::size_t>> blocks;
    for (std::size_t i = 1; i <= 60; ++i) {
      const std::size_t bytes = 1000 * ((i * 7919) % 613 + 1);
      blocks.emplace_back(allocator.allocate(bytes), bytes);
      if (i % 3 == 0) {  // a temporary goes at once
        allocator.release(blocks.back().first, blocks.back().second);
        blocks.pop_back();
      }
    }
    while (!blocks.empty()) {
      allocator.release(blocks.back().first, blocks.back().second);
      blocks.pop_back();
    }
  };
  step();
  const std::size_t reserved = allocator.use().reserved;
  CHECK(reserved < allocator.use().peak * 5 / 4);
  for (int i = 0; i < 20; ++i) step();
  CHECK(allocator.use().reserved == reserved);
}

TEST_CASE("several threads may use the backend at once") {
  std::vector<std::thread> threads;
  std::array<double, 4> totals{};
  for (std::size_t id = 0; id < totals.size(); ++id)
    threads.emplace_back([id, &totals] {
      for (int i = 0; i < 50; ++i) {
        Tensor x = full(b, {97 * (i + 1)}, DType::f32, static_cast<double>(id)), total(b, {1}, DType::f32);
        b.sum(x, total);
        totals[id] += scalar_of(total);
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (std::size_t id = 0; id < totals.size(); ++id)
    CHECK(totals[id] == 97.0 * 1275 * static_cast<double>(id));
}

TEST_CASE("fill and convert cover every type of a CPU tensor") {
  for (const DType from : {DType::f32, DType::f64, DType::i32, DType::i64, DType::i16, DType::u8})
    for (const DType to : {DType::f32, DType::f64, DType::i32, DType::i64, DType::i16, DType::u8}) {
      Tensor y(b, {3}, to);
      b.convert(full(b, {3}, from, 7), y);
      CHECK(values_of(y) == Values(3, 7.0));
    }
  Tensor counter = full(b, {2}, DType::i64, 41);
  b.increment(counter);
  CHECK(to_host<std::int64_t>(counter) == std::vector<std::int64_t>{42, 42});
}

TEST_CASE("the fast exp and erf in f32 are as accurate as they say") {
  double exp_error = 0, erf_error = 0;
  for (int i = -20000; i <= 20000; ++i) {
    const float x = static_cast<float>(i) * 0.0043f;  // [-86, 86]
    exp_error = std::max(exp_error, std::abs(cpu::fast::exp(x) / std::exp(static_cast<double>(x)) - 1));
    const float small = static_cast<float>(i) * 0.0003f;  // [-6, 6]
    erf_error = std::max(erf_error, std::abs(cpu::fast::erf(small) - std::erf(static_cast<double>(small))));
  }
  CHECK(exp_error < 2.5e-7);
  CHECK(erf_error < 2e-7);
  const float inf = std::numeric_limits<float>::infinity();
  CHECK(cpu::fast::exp(-inf) == 0);
  CHECK(cpu::fast::exp(inf) == inf);
  CHECK(cpu::fast::exp(-100.0f) == doctest::Approx(3.8e-44f).epsilon(0.1));  // denormal
  CHECK(std::isnan(cpu::fast::exp(std::nanf(""))));
  CHECK(std::isnan(cpu::fast::erf(std::nanf(""))));
  CHECK(cpu::fast::erf(inf) == 1);
  CHECK(cpu::fast::erf(-inf) == -1);
}

TEST_CASE("unary ops follow their formulas; derivatives agree with differences and honor targets") {
  for_both_dtypes([](DType dtype) {
    for (const UnaryOp op : kUnaryOps) {
      CAPTURE(static_cast<int>(op));
      const Index n = 20011;  // more than one chunk, and an odd tail
      const Tensor x = random_tensor({n}, dtype, 1), dy = random_tensor({n}, dtype, 2);
      const Values xs = values_of(x), dys = values_of(dy);
      const auto f = [&](double v) { return visit(op, [&](auto formula) { return formula.f(v); }); };
      Values y(xs.size()), dx(xs.size());
      for (std::size_t i = 0; i < xs.size(); ++i) {
        y[i] = f(xs[i]);
        dx[i] = dys[i] * visit(op, [&](auto formula) { return formula.df(xs[i], y[i]); });
        if (std::abs(xs[i]) > 1e-4)  // not across the kink of ReLU
          CHECK(std::abs(dx[i] - dys[i] * (f(xs[i] + 1e-5) - f(xs[i] - 1e-5)) / 2e-5) < 1e-8);
      }
      Tensor got = poisoned({n}, dtype);
      b.unary(op, x, got);
      CHECK(difference(got, y) < tolerance(dtype));
      const Saves saves = saves_of(op);
      const Tensor saved = saves == Saves::nothing ? Tensor() : (saves == Saves::input ? x : got);
      check_target({n}, dtype, dx, [&](const Target& t) { b.unary_backward(op, saved, dy, t); });
      Tensor in_place = random_tensor({n}, dtype, 1);
      b.unary(op, in_place, in_place);
      CHECK(values_of(in_place) == values_of(got));
    }
  });
}

TEST_CASE("binary ops, scaling, bias and sums") {
  for_both_dtypes([](DType dtype) {
    const Shape shape{171, 119};
    const Tensor x = random_tensor(shape, dtype, 1), other = random_tensor(shape, dtype, 2),
                 dy = random_tensor(shape, dtype, 3);
    const Values xs = values_of(x), others = values_of(other), dys = values_of(dy);
    for (const BinaryOp op : {BinaryOp::add, BinaryOp::sub, BinaryOp::mul}) {
      Values y(xs.size()), dx(xs.size()), dother(xs.size());
      for (std::size_t i = 0; i < xs.size(); ++i) {
        y[i] = op == BinaryOp::add   ? xs[i] + others[i]
               : op == BinaryOp::sub ? xs[i] - others[i]
                                     : xs[i] * others[i];
        dx[i] = dys[i] * (op == BinaryOp::mul ? others[i] : 1);
        dother[i] = dys[i] * (op == BinaryOp::mul ? xs[i] : op == BinaryOp::sub ? -1 : 1);
      }
      Tensor got = poisoned(shape, dtype);
      b.binary(op, x, other, got);
      CHECK(difference(got, y) < tolerance(dtype));
      const bool saves = saves_of(op) != Saves::nothing;
      const Tensor left = saves ? x : Tensor(), right = saves ? other : Tensor();
      check_target(shape, dtype, dx, [&](const Target& t) { b.binary_backward(op, left, right, dy, t, {}); });
      check_target(shape, dtype, dother,
                   [&](const Target& t) { b.binary_backward(op, left, right, dy, {}, t); });
    }
    Values scaled = xs, column_sums(119), biased = xs;
    double sum = 0, square = 0;
    const Tensor bias = random_tensor({119}, dtype, 4);
    for (std::size_t i = 0; i < xs.size(); ++i) {
      scaled[i] *= -1.75;
      column_sums[i % 119] += xs[i];
      biased[i] += values_of(bias)[i % 119];
      sum += xs[i];
      square += xs[i] * xs[i];
    }
    check_target(shape, dtype, scaled, [&](const Target& t) { b.scale(x, -1.75, t); });
    const Tensor scalar = full(b, {1}, dtype, -1.75);
    check_target(shape, dtype, scaled, [&](const Target& t) { b.scale_by(x, scalar, t); });
    check_target({119}, dtype, column_sums, [&](const Target& t) { b.sum_rows(x, t); });
    Tensor y = poisoned(shape, dtype), total = poisoned({1}, dtype);
    b.add_bias(x, bias, y);
    CHECK(difference(y, biased) < tolerance(dtype));
    b.sum(x, total);
    CHECK(scalar_of(total) == doctest::Approx(sum).epsilon(1e-6));
    b.squared_norm(x, total);
    CHECK(scalar_of(total) == doctest::Approx(square).epsilon(1e-6));
    check_thread_independence([&] {
      const Target sums{poisoned({119}, dtype), false};
      b.sum_rows(x, sums);
      b.sum(x, total);
      Values all = values_of(sums.dst);
      all.push_back(scalar_of(total));
      return all;
    });
  });
}

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
      Values numeric(xs.size());
      for (std::size_t i = 0; i < xs.size(); ++i) {
        Values up = xs, down = xs;
        up[i] += 1e-5;
        down[i] -= 1e-5;
        numeric[i] = (loss_of(up) - loss_of(down)) / 2e-5;
      }
      CHECK(difference(gradient, numeric) < 1e-7);
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
      Values numeric(xs.size());
      for (std::size_t i = 0; i < xs.size(); ++i) {
        Values up = xs, down = xs;
        up[i] += 1e-5;
        down[i] -= 1e-5;
        numeric[i] = (loss_of(up) - loss_of(down)) / 2e-5;
      }
      CHECK(difference(gradient, numeric) < 1e-7);
    });
  }
  Tensor loss = poisoned({1}, DType::f32), gradient = poisoned({1, 2}, DType::f32);
  b.bce_with_logits(tensor_of({1, 2}, DType::f32, {800, -800}), tensor_of({1, 2}, DType::f32, {0, 1}), {}, {},
                    loss, gradient);
  CHECK(scalar_of(loss) == 800);
  CHECK(values_of(gradient) == Values{0.5, -0.5});
}

TEST_CASE("SGD and Adam follow PyTorch's update equations over decay segments, with clipping") {
  const Index n = 40000;
  const DecaySegments segments{from_host<std::int64_t>(b, {3}, {10, 20000, n}),
                               from_host<float>(b, {3}, {0.25f, 0.0f, 0.5f})};
  const auto decay_of = [](Index i) { return i < 10 ? 0.25 : i < 20000 ? 0.0 : 0.5; };
  const double rate = 0.05;
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
          const Tensor state = state_tensor({.optimizer_step = step, .learning_rate = rate});
          if (adam)
            b.adam({.decoupled = decoupled, .max_norm = max_norm}, segments, state, norm2, gradient, m, v,
                   values);
          else
            b.sgd({mu, nesterov, max_norm}, segments, state, norm2, gradient, m, values);
          for (Index index = 0; index < n; ++index) {
            const std::size_t i = static_cast<std::size_t>(index);
            const double decay = decay_of(index);
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
      }
    }
  });
}
