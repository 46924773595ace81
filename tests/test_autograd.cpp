// The graph itself: order, depth, sharing, what is kept and for how long.
#include <doctest/doctest.h>

#include "autograd/inference.h"
#include "autograd/ops.h"
#include "autograd/recompute.h"
#include "autograd/retain_gradient.h"
#include "nn/batch_norm.h"
#include "nn/linear.h"
#include "op_cases.h"
#include "tensor/error.h"

using namespace sagitta;
using namespace sagitta::autograd;

namespace {

Variable leaf_of(const std::vector<double>& values) {
  return leaf(from_host(cpu_backend(), {static_cast<std::int64_t>(values.size())}, values));
}

std::vector<double> gradient_of(const Variable& variable) { return to_host<double>(variable.gradient()); }

}  // namespace

TEST_CASE("a value used several times collects the sum of its gradients") {
  const Variable x = leaf_of({2, 3});
  const Variable y = mul(x, x);                   // x^2
  backward(add(mul(y, x), add(y, scale(x, 5))));  // x^3 + x^2 + 5x
  CHECK(gradient_of(x) == std::vector<double>{3 * 4 + 2 * 2 + 5, 3 * 9 + 2 * 3 + 5});
}

TEST_CASE("one gradient handed to both sides of a sum is not changed through either") {
  const Variable a = leaf_of({1}), b = leaf_of({1});
  const Variable u = scale(a, 2), v = scale(b, 3);
  // u receives the shared gradient of u + v first and another one later.
  backward(add(add(u, v), scale(u, 10)));
  CHECK(gradient_of(a) == std::vector<double>{22});
  CHECK(gradient_of(b) == std::vector<double>{3});
}

TEST_CASE("a chain of 200,000 ops runs backward and dies without overflowing the stack") {
  const Variable x = leaf_of({1});
  {
    Variable y = x;
    for (int i = 0; i < 200000; ++i) y = add(y, x);
    backward(y);
    CHECK(gradient_of(x) == std::vector<double>{200001});
  }
  Variable unused = x;
  for (int i = 0; i < 200000; ++i) unused = scale(unused, 1);
}

TEST_CASE("gradients accumulate over several backward calls until they are cleared") {
  const Variable x = leaf_of({3});
  backward(square(x));
  backward(square(x));
  CHECK(gradient_of(x) == std::vector<double>{12});
  dynamic_cast<Leaf&>(*x.node()).clear();
  backward(square(x));
  CHECK(gradient_of(x) == std::vector<double>{6});
}

TEST_CASE("a spent graph says so instead of giving a wrong gradient") {
  const Variable x = leaf_of({3});
  const Variable y = square(x);
  backward(y);
  CHECK_THROWS_WITH_AS(backward(y), doctest::Contains("already spent"), Error);
}

TEST_CASE("backward of a constant and gradients of inner values are refused") {
  const Variable constant(from_host<double>(cpu_backend(), {1}, {1}));
  CHECK_THROWS_AS(backward(square(constant)), Error);
  const Variable x = leaf_of({3});
  CHECK_THROWS_AS((void)square(x).gradient(), Error);
}

TEST_CASE("a retained gradient is the one of all uses of an inner value, and stays what it was") {
  const Variable x = leaf_of({2, 3});
  const RetainedGradient kept;
  {
    const Variable y = retain_gradient(square(x), kept);
    CHECK_FALSE(kept.gradient());
    // y^2 + 5 y, and x once more: what is added to the gradient of x must not show in the one that was kept.
    backward(add(add(square(y), scale(y, 5)), scale(x, 100)));
  }
  CHECK(to_host<double>(kept.gradient()) == std::vector<double>{2 * 4 + 5, 2 * 9 + 5});
  CHECK(gradient_of(x) == std::vector<double>{13 * 4 + 100, 23 * 6 + 100});
}

TEST_CASE("a retained gradient that goes on to a leaf or into a sum is not written to") {
  const Variable x = leaf_of({2, 3});
  const RetainedGradient kept;
  // y's node receives the kept tensor first and must add the second gradient elsewhere.
  const Variable y = scale(x, 1);
  backward(add(retain_gradient(y, kept), mul(y, y)));
  CHECK(to_host<double>(kept.gradient()) == std::vector<double>{1, 1});
  CHECK(gradient_of(x) == std::vector<double>{5, 7});
}

TEST_CASE("a constant has no gradient to retain") {
  const Variable constant(from_host<double>(cpu_backend(), {1}, {1}));
  const RetainedGradient kept;
  CHECK_FALSE(retain_gradient(constant, kept).requires_gradient());
  const Variable x = leaf_of({3});
  backward(mul(x, retain_gradient(constant, kept)));
  CHECK_FALSE(kept.gradient());
}

TEST_CASE("nothing is recorded while gradients are off") {
  const Variable x = leaf_of({3});
  {
    const NoGradient off;
    CHECK_FALSE(square(x).requires_gradient());
  }
  CHECK(square(x).requires_gradient());
}

TEST_CASE("backward releases each activation as soon as its node is done") {
  Backend& backend = cpu_backend();
  const Variable x = leaf(zeros(backend, {1 << 16}, DType::f32));
  const std::size_t before = backend.memory_use().in_use;
  Variable y = x;
  for (int i = 0; i < 8; ++i) y = gelu(y);
  const std::size_t activation = std::size_t{4} << 16;
  CHECK(backend.memory_use().in_use >= before + 8 * activation);
  backward(y);
  y = Variable();
  CHECK(backend.memory_use().in_use <= before + activation);  // the gradient of x
}

TEST_CASE("recompute keeps only the input of the block and gives the same gradients") {
  Backend& backend = cpu_backend();
  nn::Context context(backend, DType::f64);
  nn::Module root;
  nn::Linear first(&root, "first", context, 32, 32), second(&root, "second", context, 32, 32);
  nn::initialize(root, 3);
  const auto block = [&](const Variable& x) { return second(gelu(first(gelu(x)))); };
  const Tensor value = test::random_like(Tensor(backend, {}, DType::f64), {64, 32}, 1);

  const Variable plain_x = leaf(value);
  const Variable plain = block(plain_x);
  backward(plain);
  const auto plain_weight = to_host<double>(first.weight.leaf().gradient());
  for (const auto& named : root.named_parameters()) named.parameter->leaf().clear();

  const Variable x = leaf(value);
  const std::size_t before = backend.memory_use().in_use;
  Variable y = recompute(x, block);
  CHECK(backend.memory_use().in_use <= before + y.value().bytes() + 64);
  CHECK(to_host<double>(y.value()) == to_host<double>(plain.value()));
  backward(y);
  CHECK(gradient_of(x) == gradient_of(plain_x));
  CHECK(to_host<double>(first.weight.leaf().gradient()) == plain_weight);
}

TEST_CASE("recompute updates running statistics once") {
  nn::Context context(cpu_backend(), DType::f64);
  nn::Module root;
  nn::BatchNorm norm(&root, "norm", context, 4);
  nn::initialize(root, 1);
  const Variable x = leaf(test::random_like(Tensor(cpu_backend(), {}, DType::f64), {10, 4}, 2));
  const auto block = [&](const Variable& input) { return norm(input); };
  Variable y = recompute(x, block);
  const auto after_forward = to_host<double>(norm.running_mean.value());
  backward(y, test::random_like(y.value(), y.shape(), 3));
  CHECK(to_host<double>(norm.running_mean.value()) == after_forward);
  CHECK(to_host<std::int64_t>(norm.num_batches_tracked.value())[0] == 1);
}

TEST_CASE("wrong shapes are refused with both shapes in the message") {
  const Variable a = leaf(zeros(cpu_backend(), {2, 3}, DType::f32)),
                 b = leaf(zeros(cpu_backend(), {3, 2}, DType::f32));
  CHECK_THROWS_WITH_AS(add(a, b), doctest::Contains("[2, 3] and [3, 2]"), Error);
  CHECK_THROWS_AS(linear(a, b, {}), Error);
  CHECK_THROWS_AS(matmul({}, a, a), Error);
  CHECK_THROWS_AS(global_avg_pool(a), Error);
  CHECK_THROWS_AS(reshape(a, {5}), Error);
  CHECK_THROWS_AS(slice(a, 1, 3), Error);
  CHECK_THROWS_AS(concat({}), Error);
  CHECK_THROWS_AS(select_token(a, 0), Error);
  CHECK_THROWS_AS(attention(leaf(zeros(cpu_backend(), {1, 2, 8}, DType::f32)), {.heads = 2}), Error);
  CHECK_THROWS_AS(interpolate_positions(leaf(zeros(cpu_backend(), {1, 8, 2}, DType::f32)), 2, 2), Error);
}

TEST_CASE("a convolution refuses a weight that is none, with or without what is fused into it") {
  const auto make = [](const Shape& shape) { return leaf(zeros(cpu_backend(), shape, DType::f32)); };
  const Variable x = make({1, 5, 5, 3}), channels = make({8});
  RunningStatistics statistics{channels.value(), channels.value()};
  for (const Shape& wrong :
       {Shape{8}, Shape{8, 3}, Shape{3, 3, 3}, Shape{8, 3, 3, 4}, Shape{8, 3, 3, 3, 1}}) {
    CAPTURE(wrong.str());
    const Variable weight = make(wrong);
    const std::string expected = "conv2d: weight is " + wrong.str() + ", expected [O,KH,KW,3]";
    CHECK_THROWS_WITH_AS(conv2d(x, weight, channels, {}), expected.c_str(), Error);
    const NoGradient no_gradient;
    CHECK_THROWS_WITH_AS(conv2d_batch_norm(x, weight, channels, channels, {}, statistics, {}),
                         expected.c_str(), Error);
  }
}

TEST_CASE("a node tells its op, what it keeps, and that it is running") {
  Backend& cpu = cpu_backend();
  const Variable x = leaf(full(cpu, {2, 3}, DType::f32, 1)), w = leaf(full(cpu, {4, 3}, DType::f32, 2));
  const Variable b = leaf(full(cpu, {4}, DType::f32, 0));
  const Variable y = linear(x, w, b, {.activation = UnaryOp::gelu});
  CHECK(x.node()->op_name() == "Leaf");
  CHECK(y.node()->op_name() == "Linear");
  CHECK(y.node()->output().shape == Shape{2, 4});
  const std::vector<Tensor> saved = y.node()->saved();
  REQUIRE(saved.size() == 3);  // x, the weight and the value before the activation
  CHECK(saved[0].same_memory(x.value()));
  CHECK(saved[1].same_memory(w.value()));
  CHECK(linear(x, w, b).node()->saved().size() == 2);
  CHECK(reshape(y, {8}).node()->saved().empty());
  CHECK(reshape(y, {8}).node()->op_name() == "Reshape");
  CHECK(concat({y, y}).node()->op_name() == "Concat");
  CHECK(add(y, y).node()->saved().empty());

  struct Outer {
    const Node** seen;
    void backward(const Tensor& dy, const Inputs& inputs) {
      seen[0] = running_node();
      const Variable inner = leaf(dy);
      autograd::backward(scale(inner, 2));
      seen[1] = running_node();
      inputs.add(0, dy);
    }
  };
  const Node* seen[2] = {};
  const Variable outer = record(y.value(), {y}, Outer{seen});
  const Node* const node = outer.node().get();
  CHECK(running_node() == nullptr);
  backward(outer);
  CHECK(seen[0] == node);
  CHECK(seen[1] == node);
  CHECK(running_node() == nullptr);
  CHECK(y.node()->saved().empty());
}
