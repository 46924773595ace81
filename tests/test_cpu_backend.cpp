// Memory and elementwise ops of the CPU backend.
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
