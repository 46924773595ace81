// Matrix products, the linear layer and convolutions on a CUDA device. The answer is the CPU's in f64, on the
// same inputs, already rounded to the dtype under test.
#include <array>
#include <cmath>

#include "cuda_operands.h"

using namespace sagitta;
using namespace sagitta::test;

namespace {

// A bound for excess(): what a sum of `terms` products of numbers below 1 may be off by besides its rounding
// to the dtype, when that happens `more_roundings` times more on the way. A partial sum is of size sqrt(terms
// / 9), and so is the number of its rounding errors that do not cancel, hence 2^-24 * terms / 3 from summing
// in f32; allowed is ten times that. What is rounded on the way may be twice as large as the largest result.
double sum_bound(DType dtype, Index terms, double more_roundings = 0) {
  return 2 * more_roundings * rounding(dtype) + 10.0 / 3 * std::ldexp(1.0, -24) * static_cast<double>(terms);
}

void check_matmul(Index m, Index n, Index k, DType dtype, Memory memory = Memory::aligned) {
  CAPTURE(m);
  CAPTURE(n);
  CAPTURE(k);
  CAPTURE(name_of(dtype));
  for (const bool transpose_a : {false, true})
    for (const bool transpose_b : {false, true}) {
      CAPTURE(transpose_a);
      CAPTURE(transpose_b);
      const MatmulParams params{transpose_a, transpose_b};
      const Operand a = random_operand(transpose_a ? Shape{k, m} : Shape{m, k}, dtype, 1, memory);
      const Operand b = random_operand(transpose_b ? Shape{n, k} : Shape{k, n}, dtype, 2, memory);
      Tensor expected(cpu_backend(), {m, n}, DType::f64);
      cpu_backend().matmul(params, a.cpu, b.cpu, {expected});
      check_target({m, n}, dtype, memory, values_of(expected), sum_bound(dtype, k),
                   [&](const Target& y) { cuda_test_backend().matmul(params, a.device, b.device, y); });
    }
}

struct LinearCase {
  Index m, n, k;
  UnaryOp activation = UnaryOp::identity;
  Memory memory = Memory::aligned;
};

void check_linear(const LinearCase& c, DType dtype) {
  CAPTURE(c.m);
  CAPTURE(c.n);
  CAPTURE(c.k);
  CAPTURE(static_cast<int>(c.activation));
  CAPTURE(name_of(dtype));
  const Operand x = random_operand({c.m, c.k}, dtype, 1, c.memory);
  const Operand weight = random_operand({c.n, c.k}, dtype, 2, c.memory);
  const Operand bias = random_operand({c.n}, dtype, 3, c.memory);
  for (const bool with_bias : {false, true})
    for (const bool with_pre : {false, true}) {
      if (!with_pre && saves_of(c.activation) == Saves::input) continue;
      CAPTURE(with_bias);
      CAPTURE(with_pre);
      Tensor expected_pre(cpu_backend(), {c.m, c.n}, DType::f64), expected = expected_pre.like();
      cpu_backend().linear({c.activation}, x.cpu, weight.cpu, with_bias ? bias.cpu : Tensor(), expected_pre,
                           expected);
      Tensor y = poisoned({c.m, c.n}, dtype, c.memory);
      Tensor pre = with_pre ? poisoned({c.m, c.n}, dtype, c.memory) : Tensor();
      cuda_test_backend().linear({c.activation}, x.device, weight.device, with_bias ? bias.device : Tensor(),
                                 pre, y);
      // Rounded as a product and with its bias before the activation, whose slope is below 1.2.
      CHECK(excess(y, expected) <= sum_bound(dtype, 2 * c.k, 2.4));
      if (pre) CHECK(excess(pre, expected_pre) <= sum_bound(dtype, c.k, 1));
    }
}

// dx, dweight and dbias in every combination of wanted, unwanted and accumulating.
void check_linear_backward(const LinearCase& c, DType dtype) {
  CAPTURE(c.m);
  CAPTURE(c.n);
  CAPTURE(c.k);
  CAPTURE(static_cast<int>(c.activation));
  CAPTURE(name_of(dtype));
  const Operand x = random_operand({c.m, c.k}, dtype, 1, c.memory);
  const Operand weight = random_operand({c.n, c.k}, dtype, 2, c.memory);
  const Operand dy = random_operand({c.m, c.n}, dtype, 3, c.memory);
  const Operand saved =
      saves_of(c.activation) == Saves::nothing ? Operand{} : random_operand({c.m, c.n}, dtype, 4, c.memory);
  const Shape shapes[] = {{c.m, c.k}, {c.n, c.k}, {c.n}};
  const Index terms[] = {c.n, c.m, c.m};
  std::array<Tensor, 3> expected;
  for (std::size_t i = 0; i < 3; ++i) expected[i] = Tensor(cpu_backend(), shapes[i], DType::f64);
  cpu_backend().linear_backward({c.activation}, x.cpu, weight.cpu, saved.cpu, dy.cpu, {expected[0]},
                                {expected[1]}, {expected[2]});

  constexpr int kUnwanted = 0, kAccumulating = 2;
  for (int combination = 0; combination < 27; ++combination) {
    CAPTURE(combination);
    const int modes[] = {combination % 3, combination / 3 % 3, combination / 9};
    std::array<Target, 3> targets;
    std::array<Values, 3> answers;
    for (std::size_t i = 0; i < 3; ++i) {
      if (modes[i] == kUnwanted) continue;
      const Operand before = random_operand(shapes[i], dtype, 5, c.memory);
      targets[i] = modes[i] == kAccumulating ? Target{before.device, true}
                                             : Target{poisoned(shapes[i], dtype, c.memory), false};
      answers[i] = values_of(expected[i]);
      if (modes[i] == kAccumulating) {
        const Values old = values_of(before.cpu);
        for (std::size_t j = 0; j < old.size(); ++j) answers[i][j] += old[j];
      }
    }
    cuda_test_backend().linear_backward({c.activation}, x.device, weight.device, saved.device, dy.device,
                                        targets[0], targets[1], targets[2]);
    for (std::size_t i = 0; i < 3; ++i) {
      if (modes[i] == kUnwanted) continue;
      CAPTURE(i);
      // An activation's gradient is rounded to the dtype before it is summed: sqrt(terms) errors add up.
      const bool rounded_terms = c.activation != UnaryOp::identity;
      const double roundings = 1 + (rounded_terms ? std::sqrt(static_cast<double>(terms[i])) : 0);
      CHECK(excess(targets[i].dst, answers[i]) <= sum_bound(dtype, terms[i], roundings));
    }
  }
}

struct Convolution {
  Index batch, height, width, inputs, outputs, kernel_height, kernel_width;
  Conv2dParams params;
};

void check_convolution(const Convolution& c, DType dtype, Memory memory = Memory::aligned) {
  const Shape x_shape{c.batch, c.height, c.width, c.inputs};
  const Shape weight_shape{c.outputs, c.kernel_height, c.kernel_width, c.inputs};
  const Shape y_shape{c.batch, c.params.out(c.height, c.kernel_height), c.params.out(c.width, c.kernel_width),
                      c.outputs};
  CAPTURE(x_shape.str());
  CAPTURE(weight_shape.str());
  CAPTURE(c.params.stride);
  CAPTURE(c.params.padding);
  CAPTURE(name_of(dtype));
  const Operand x = random_operand(x_shape, dtype, 1, memory);
  const Operand weight = random_operand(weight_shape, dtype, 2, memory);
  const Operand dy = random_operand(y_shape, dtype, 3, memory);
  Backend& device = cuda_test_backend();

  Tensor y(cpu_backend(), y_shape, DType::f64), dx = x.cpu.like(), dweight = weight.cpu.like();
  cpu_backend().conv2d(c.params, x.cpu, weight.cpu, y);
  cpu_backend().conv2d_backward_input(c.params, weight.cpu, dy.cpu, {dx});
  cpu_backend().conv2d_backward_weight(c.params, x.cpu, dy.cpu, {dweight});

  Tensor got = poisoned(y_shape, dtype, memory);
  device.conv2d(c.params, x.device, weight.device, got);
  const Index taps = c.kernel_height * c.kernel_width;
  CHECK(excess(got, y) <= sum_bound(dtype, taps * c.inputs));
  // What is added to a target has been rounded before.
  check_target(x_shape, dtype, memory, values_of(dx), sum_bound(dtype, taps * c.outputs, 1),
               [&](const Target& target) {
                 device.conv2d_backward_input(c.params, weight.device, dy.device, target);
               });
  check_target(
      weight_shape, dtype, memory, values_of(dweight), sum_bound(dtype, c.batch * y_shape[1] * y_shape[2], 1),
      [&](const Target& target) { device.conv2d_backward_weight(c.params, x.device, dy.device, target); });
}

}  // namespace

TEST_CASE("matmul agrees with the CPU for every transposition, extent and dtype") {
  const Index extents[][3] = {{1, 1, 1},   {5, 3, 7},     {19, 33, 65}, {64, 128, 96}, {1, 768, 64},
                              {130, 1, 9}, {40, 24, 768}, {3, 5, 2000}, {72, 200, 8}};
  for (const DType dtype : kComputing)
    for (const auto& [m, n, k] : extents) check_matmul(m, n, k, dtype);
}

TEST_CASE("matmul works on views that begin at any element") {
  for (const DType dtype : kComputing) {
    check_matmul(7, 5, 9, dtype, Memory::unaligned);
    check_matmul(33, 17, 31, dtype, Memory::unaligned);
  }
}

TEST_CASE("products that are large enough for algorithms to be timed, with and without a target to add to") {
  constexpr Index kM = 512, kN = 512, kK = 200;
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const bool accumulate : {false, true}) {
      // Timing must leave the target alone, so the first product of its kind is the one that adds.
      const MatmulParams params{.transpose_a = accumulate};
      const Operand a = random_operand(accumulate ? Shape{kK, kM} : Shape{kM, kK}, dtype, 1);
      const Operand b = random_operand({kK, kN}, dtype, 2), y = random_operand({kM, kN}, dtype, 3);
      cuda_test_backend().matmul(params, a.device, b.device, {y.device, accumulate});
      cpu_backend().matmul(params, a.cpu, b.cpu, {y.cpu, accumulate});
      CHECK(excess(y.device, y.cpu) <= sum_bound(dtype, kK));
    }
}

TEST_CASE("products of no rows and sums of no terms write what they should") {
  Backend& device = cuda_test_backend();
  for (const DType dtype : kComputing) {
    const Tensor none = device_tensor({0, 6}, dtype), weight = random_operand({4, 6}, dtype, 1).device;
    const Tensor bias = random_operand({4}, dtype, 2).device;
    Tensor pre, y = device_tensor({0, 4}, dtype);
    device.linear({}, none, weight, bias, pre, y);
    const Target dx{device_tensor({0, 6}, dtype), false}, dweight{poisoned({4, 6}, dtype), false},
        dbias{poisoned({4}, dtype), false};
    device.linear_backward({}, none, weight, {}, y, dx, dweight, dbias);
    CHECK(values_of(dweight.dst) == Values(24, 0.0));
    CHECK(values_of(dbias.dst) == Values(4, 0.0));
    const Operand before = random_operand({4, 6}, dtype, 3);
    device.linear_backward({}, none, weight, {}, y, dx, {before.device, true}, {});
    CHECK(values_of(before.device) == values_of(before.cpu));

    const Tensor images = device_tensor({0, 3, 3, 2}, dtype);
    const Tensor kernels = random_operand({2, 3, 3, 2}, dtype, 4).device;
    Tensor image_out = device_tensor({0, 3, 3, 2}, dtype);
    device.conv2d({1, 1}, images, kernels, image_out);
    device.conv2d_backward_input({1, 1}, kernels, image_out, {images, false});
    const Target dkernels{poisoned({2, 3, 3, 2}, dtype), false};
    device.conv2d_backward_weight({1, 1}, images, image_out, dkernels);
    CHECK(values_of(dkernels.dst) == Values(36, 0.0));
  }
}

TEST_CASE("linear agrees with the CPU, with and without bias, activation and saved input") {
  for (const DType dtype : kComputing) {
    for (const UnaryOp activation : {UnaryOp::identity, UnaryOp::relu, UnaryOp::gelu})
      check_linear({.m = 48, .n = 64, .k = 32, .activation = activation}, dtype);
    check_linear({.m = 7, .n = 45, .k = 33, .activation = UnaryOp::gelu}, dtype);
    check_linear({.m = 1, .n = 7, .k = 19}, dtype);
    check_linear({.m = 6, .n = 5, .k = 11, .memory = Memory::unaligned}, dtype);
  }
}

TEST_CASE("the gradients of linear agree with the CPU, whichever are wanted and wherever they go") {
  for (const DType dtype : kComputing) {
    check_linear_backward({.m = 40, .n = 64, .k = 48}, dtype);
    check_linear_backward({.m = 13, .n = 7, .k = 19, .activation = UnaryOp::relu}, dtype);
    check_linear_backward({.m = 32, .n = 16, .k = 24, .activation = UnaryOp::gelu}, dtype);
    check_linear_backward({.m = 6, .n = 5, .k = 11, .memory = Memory::unaligned}, dtype);
  }
}

TEST_CASE("a captured linear layer repeats the bits of the eager one") {
  Backend& device = cuda_test_backend();
  const Operand x = random_operand({24, 32}, DType::bf16, 1),
                weight = random_operand({40, 32}, DType::bf16, 2),
                bias = random_operand({40}, DType::bf16, 3);
  const auto layer = [&](Tensor& y, const Tensor& dweight, const Tensor& dbias) {
    Tensor pre = y.like();
    device.linear({UnaryOp::gelu}, x.device, weight.device, bias.device, pre, y);
    device.linear_backward({UnaryOp::gelu}, x.device, weight.device, pre, y, {}, {dweight}, {dbias, true});
  };
  Tensor y = device_tensor({24, 40}, DType::bf16), captured_y = y.like();
  const Tensor dweight = device_tensor({40, 32}, DType::bf16), captured_dweight = dweight.like();
  Tensor dbias = zeros(device, {40}, DType::bf16), captured_dbias = zeros(device, {40}, DType::bf16);
  const auto step = device.capture([&] { layer(captured_y, captured_dweight, captured_dbias); });
  for (int replay = 0; replay < 3; ++replay) {
    layer(y, dweight, dbias);
    step->replay();
    CHECK(values_of(captured_y) == values_of(y));
    CHECK(values_of(captured_dweight) == values_of(dweight));
    CHECK(values_of(captured_dbias) == values_of(dbias));
  }
}

TEST_CASE("convolution and its gradients agree with the CPU over channels, kernels, strides and paddings") {
  const Convolution convolutions[] = {{2, 9, 7, 16, 24, 3, 3, {1, 1}},  {2, 9, 7, 8, 16, 3, 3, {2, 1}},
                                      {3, 6, 6, 32, 16, 1, 1, {1, 0}},  {3, 6, 6, 16, 8, 1, 1, {2, 0}},
                                      {1, 20, 22, 3, 16, 7, 7, {2, 3}},  // the first layer of a ResNet
                                      {2, 16, 16, 3, 24, 8, 8, {8, 0}},  // the patches of a ViT
                                      {2, 5, 6, 1, 1, 3, 3, {1, 1}},    {1, 6, 7, 5, 9, 3, 3, {1, 1}},
                                      {1, 7, 6, 12, 10, 2, 3, {1, 0}},  {1, 4, 4, 3, 2, 5, 5, {1, 2}}};
  for (const DType dtype : kComputing)
    for (const Convolution& convolution : convolutions) check_convolution(convolution, dtype);
}

TEST_CASE("convolutions work on views that begin at any element") {
  for (const DType dtype : kComputing) {
    check_convolution({2, 5, 5, 3, 7, 3, 3, {1, 1}}, dtype, Memory::unaligned);
    check_convolution({1, 5, 3, 12, 4, 1, 1, {1, 0}}, dtype, Memory::unaligned);
  }
}
