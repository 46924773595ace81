// Batch norm and layer norm on a CUDA device: packs and single elements, one tile and many, rows in a warp
// and rows in a block, means far from zero, all targets. The answer is the CPU's in f64, on the same inputs,
// already rounded to the dtype under test.
#include "cuda_operands.h"

using namespace sagitta;
using namespace sagitta::test;

namespace {

Backend& device() { return cuda_test_backend(); }
Backend& cpu() { return cpu_backend(); }

Tensor wide(const Shape& shape) { return Tensor(cpu(), shape, DType::f64); }

// The numbers of a device tensor as an f64 tensor of the CPU.
Tensor on_cpu(const Tensor& tensor) { return from_host(cpu(), tensor.shape(), values_of(tensor)); }

Operand shifted_operand(const Shape& shape, DType dtype, std::uint32_t stream, Memory memory, double shift) {
  Values values = random_values(shape.numel(), stream);
  for (double& value : values) value += shift;
  return operand(shape, dtype, values, memory);
}

struct BatchNormCase {
  Shape shape;
  bool training = true, relu = false, residual = false;
  Memory memory = Memory::aligned;
  double shift = 0;     // of x
  double bound = 2e-6;  // for excess()
  bool each_target = false;
};

// The tensors of one batch norm, on the device or the CPU.
struct BatchNorm {
  Tensor x, gamma, beta, residual, running_mean, running_var, y, mean, rstd;

  void forward(const BatchNormParams& params) {
    x.backend().batch_norm_add_relu(params, x, gamma, beta, residual, running_mean, running_var, y, mean,
                                    rstd);
  }
  void backward(const BatchNormParams& params, const Tensor& dy, const Target& dx, const Target& dgamma,
                const Target& dbeta, const Target& dresidual) {
    x.backend().batch_norm_add_relu_backward(params, x, y, gamma, mean, rstd, dy, dx, dgamma, dbeta,
                                             dresidual);
  }
};

void check_batch_norm(const BatchNormCase& c, DType dtype) {
  CAPTURE(c.shape.str());
  CAPTURE(name_of(dtype));
  CAPTURE(c.training);
  CAPTURE(c.relu);
  CAPTURE(c.residual);
  CAPTURE((c.memory == Memory::aligned));
  const Shape channels{c.shape.back()};
  const BatchNormParams params{.momentum = 0.3, .training = c.training, .relu = c.relu};
  const Operand x = shifted_operand(c.shape, dtype, 1, c.memory, c.shift);
  const Operand gamma = random_operand(channels, DType::f32, 2, c.memory, 2);
  const Operand beta = random_operand(channels, DType::f32, 3, c.memory);
  const Operand residual = c.residual ? random_operand(c.shape, dtype, 4, c.memory) : Operand{};
  const Operand running_mean = shifted_operand(channels, DType::f32, 5, c.memory, c.shift);
  const Operand running_var = shifted_operand(channels, DType::f32, 6, c.memory, 1.5);
  BatchNorm got{x.device,
                gamma.device,
                beta.device,
                residual.device,
                running_mean.device,
                running_var.device,
                poisoned(c.shape, dtype, c.memory),
                poisoned(channels, DType::f32, c.memory),
                poisoned(channels, DType::f32, c.memory)};
  BatchNorm expected{x.cpu,           gamma.cpu,     beta.cpu,       residual.cpu,  running_mean.cpu,
                     running_var.cpu, wide(c.shape), wide(channels), wide(channels)};
  got.forward(params);
  expected.forward(params);
  CHECK(excess(got.y, expected.y) <= c.bound);
  CHECK(excess(got.mean, expected.mean) <= 1e-6);
  CHECK(excess(got.rstd, expected.rstd) <= c.bound);
  CHECK(excess(got.running_mean, expected.running_mean) <= 1e-6);
  CHECK(excess(got.running_var, expected.running_var) <= c.bound);
  const Values first = values_of(got.y);
  got.forward(params);
  CHECK((!c.training || values_of(got.y) == first));

  // The mask and the statistics that the device will read.
  expected.y = on_cpu(got.y);
  expected.mean = on_cpu(got.mean);
  expected.rstd = on_cpu(got.rstd);
  const Operand dy = random_operand(c.shape, dtype, 7, c.memory);
  const Target dx{wide(c.shape)}, dgamma{wide(channels)}, dbeta{wide(channels)}, dresidual{wide(c.shape)};
  expected.backward(params, dy.cpu, dx, dgamma, dbeta, dresidual);
  const double bound = 3 * c.bound;
  // dx is what remains of terms that are as large as gamma rstd: of a single row, whose variance is 0, much.
  double steepest = 3;
  const Values slopes = values_of(gamma.cpu), rstds = values_of(expected.rstd);
  for (std::size_t i = 0; i < slopes.size(); ++i)
    steepest = std::max(steepest, std::abs(slopes[i] * rstds[i]));
  const double dx_bound = c.bound * steepest;
  if (c.each_target) {
    check_target(c.shape, dtype, c.memory, values_of(dx.dst), dx_bound,
                 [&](const Target& t) { got.backward(params, dy.device, t, {}, {}, {}); });
    check_target(channels, DType::f32, c.memory, values_of(dgamma.dst), bound,
                 [&](const Target& t) { got.backward(params, dy.device, {}, t, {}, {}); });
    check_target(channels, DType::f32, c.memory, values_of(dbeta.dst), bound,
                 [&](const Target& t) { got.backward(params, dy.device, {}, {}, t, {}); });
    check_target(c.shape, dtype, c.memory, values_of(dresidual.dst), bound,
                 [&](const Target& t) { got.backward(params, dy.device, {}, {}, {}, t); });
  }
  const Target all[] = {{poisoned(c.shape, dtype, c.memory)},
                        {poisoned(channels, DType::f32)},
                        {poisoned(channels, DType::f32)},
                        {poisoned(c.shape, dtype)}};
  got.backward(params, dy.device, all[0], all[1], all[2], all[3]);
  CHECK(excess(all[0].dst, dx.dst) <= dx_bound);
  CHECK(excess(all[1].dst, dgamma.dst) <= bound);
  CHECK(excess(all[2].dst, dbeta.dst) <= bound);
  CHECK(excess(all[3].dst, dresidual.dst) <= bound);
}

}  // namespace

TEST_CASE("batch norm in all its forms") {
  for (const DType dtype : kComputing)
    for (const Memory memory : kMemories)
      for (const bool training : {true, false})
        for (const bool relu : {true, false})
          for (const bool residual : {true, false})
            check_batch_norm({.shape = {2, 5, 3, 16},
                              .training = training,
                              .relu = relu,
                              .residual = residual,
                              .memory = memory,
                              .each_target = true},
                             dtype);
}

TEST_CASE("batch norm of x with itself as residual: dx adds to what the residual's gradient left") {
  for (const DType dtype : kComputing) {
    const Shape shape{40, 16}, channels{16};
    const Operand x = random_operand(shape, dtype, 1), dy = random_operand(shape, dtype, 2);
    const Operand gamma = random_operand(channels, DType::f32, 3),
                  zeros = operand(channels, DType::f32, Values(16));
    const Operand ones = operand(channels, DType::f32, Values(16, 1.0));
    BatchNorm norm{x.device,
                   gamma.device,
                   zeros.device,
                   x.device,
                   zeros.device,
                   ones.device,
                   poisoned(shape, dtype),
                   poisoned(channels, DType::f32),
                   poisoned(channels, DType::f32)};
    norm.forward({});
    const Tensor dx = poisoned(shape, dtype), dresidual = poisoned(shape, dtype),
                 both = poisoned(shape, dtype);
    norm.backward({}, dy.device, {dx}, {}, {}, {dresidual});
    norm.backward({}, dy.device, {both, true}, {}, {}, {both, false});
    Values sum = values_of(dx);
    const Values other = values_of(dresidual);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += other[i];
    CHECK(excess(both, sum) <= 2 * rounding(dtype));
  }
}

TEST_CASE("batch norm of one row, of few and of many columns, in one tile and in many") {
  for (const DType dtype : kComputing)
    for (const Shape& shape : {Shape{1, 8}, Shape{1, 5}, Shape{7, 64}, Shape{3, 1032}, Shape{70, 37},
                               Shape{300, 64}, Shape{150, 256}})
      check_batch_norm({.shape = shape, .relu = true, .residual = true}, dtype);
  // More rows than one round of tiles takes two steps for.
  check_batch_norm({.shape = {27001, 5}}, DType::f32);
}

TEST_CASE("batch norm keeps the variance of columns whose mean is far from zero") {
  // The mean, about 1000, is itself rounded to 3e-5: y inherits that times rstd and gamma.
  check_batch_norm({.shape = {3000, 16}, .shift = 1000, .bound = 3e-4}, DType::f32);
  check_batch_norm({.shape = {3000, 5}, .shift = 1000, .bound = 3e-4}, DType::f32);
}

TEST_CASE("batch norm passes NaN through the ReLU") {
  const Operand x = operand({2, 2}, DType::bf16, {1, kNaN, -1, 2});
  const Operand ones = operand({2}, DType::f32, {1, 1}), zeros = operand({2}, DType::f32, {0, 0});
  BatchNorm norm{x.device,
                 ones.device,
                 zeros.device,
                 {},
                 zeros.device,
                 ones.device,
                 poisoned({2, 2}, DType::bf16),
                 poisoned({2}, DType::f32),
                 poisoned({2}, DType::f32)};
  norm.forward({.training = false, .relu = true});
  const Values y = values_of(norm.y);
  CHECK(y[0] == doctest::Approx(1).epsilon(0.01));
  CHECK(std::isnan(y[1]));
  CHECK(y[2] == 0);
}

namespace {

void check_layer_norm(Index rows, Index columns, DType dtype, Memory memory, double shift = 0) {
  CAPTURE(rows);
  CAPTURE(columns);
  CAPTURE(name_of(dtype));
  CAPTURE((memory == Memory::aligned));
  constexpr double kEps = 1e-5, kBound = 3e-6;
  const Shape shape{rows, columns}, parameter{columns}, statistic{rows};
  const Operand x = shifted_operand(shape, dtype, 1, memory, shift);
  const Operand residual = random_operand(shape, dtype, 2, memory);
  const Operand gamma = random_operand(parameter, DType::f32, 3, memory, 2);
  const Operand beta = random_operand(parameter, DType::f32, 4, memory);
  const double loose = kBound + 1e-7 * std::abs(shift);  // the mean's own rounding, times rstd and gamma
  const auto check_forward = [&](const Tensor& input, const Tensor& y, const Tensor& mean,
                                 const Tensor& rstd) {
    Tensor right = wide(shape), right_mean = wide(statistic), right_rstd = wide(statistic);
    cpu().layer_norm(kEps, input, gamma.cpu, beta.cpu, right, right_mean, right_rstd);
    CHECK(excess(y, right) <= loose);
    CHECK(excess(mean, right_mean) <= kBound);
    CHECK(excess(rstd, right_rstd) <= loose);
  };
  Tensor y = poisoned(shape, dtype, memory), sum = poisoned(shape, dtype, memory);
  Tensor mean = poisoned(statistic, DType::f32, memory), rstd = poisoned(statistic, DType::f32, memory);
  device().layer_norm(kEps, x.device, gamma.device, beta.device, y, mean, rstd);
  check_forward(x.cpu, y, mean, rstd);

  y = poisoned(shape, dtype, memory);
  device().add_layer_norm(kEps, x.device, residual.device, gamma.device, beta.device, sum, y, mean, rstd);
  Tensor exact = wide(shape);
  cpu().binary(BinaryOp::add, x.cpu, residual.cpu, exact);
  CHECK(excess(sum, exact) <= 1e-7);
  check_forward(on_cpu(sum), y, mean, rstd);  // the norm of the sum as it was rounded

  const Operand dy = random_operand(shape, dtype, 5, memory);
  const Target dx{wide(shape)}, dgamma{wide(parameter)}, dbeta{wide(parameter)};
  cpu().layer_norm_backward(on_cpu(sum), gamma.cpu, on_cpu(mean), on_cpu(rstd), dy.cpu, dx, dgamma, dbeta);
  const auto backward = [&](const Target& to_x, const Target& to_gamma, const Target& to_beta) {
    device().layer_norm_backward(sum, gamma.device, mean, rstd, dy.device, to_x, to_gamma, to_beta);
  };
  check_target(shape, dtype, memory, values_of(dx.dst), kBound,
               [&](const Target& t) { backward(t, {}, {}); });
  check_target(parameter, DType::f32, memory, values_of(dgamma.dst), kBound,
               [&](const Target& t) { backward({}, t, {}); });
  check_target(parameter, DType::f32, memory, values_of(dbeta.dst), kBound,
               [&](const Target& t) { backward({}, {}, t); });
  const Target all[] = {
      {poisoned(shape, dtype)}, {poisoned(parameter, DType::f32)}, {poisoned(parameter, DType::f32)}};
  backward(all[0], all[1], all[2]);
  CHECK(excess(all[0].dst, dx.dst) <= kBound);
  CHECK(excess(all[1].dst, dgamma.dst) <= kBound);
  CHECK(excess(all[2].dst, dbeta.dst) <= kBound);
}

}  // namespace

TEST_CASE("layer norm of rows that a warp holds") {
  for (const DType dtype : kComputing)
    for (const Memory memory : kMemories)
      for (const Index columns : {1, 5, 67, 64, 192, 256}) check_layer_norm(9, columns, dtype, memory);
  for (const DType dtype : kComputing)
    for (const Index columns : {264, 384, 768, 1024}) check_layer_norm(9, columns, dtype, Memory::aligned);
}

TEST_CASE("layer norm of rows that a block holds") {
  for (const DType dtype : kComputing) {
    check_layer_norm(40, 257, dtype, Memory::aligned);
    check_layer_norm(3, 768, dtype, Memory::unaligned);
    check_layer_norm(3, 1032, dtype, Memory::aligned);
    check_layer_norm(2, 3000, dtype, Memory::aligned);
  }
}

TEST_CASE("layer norm of one row, and of more rows than warps") {
  check_layer_norm(1, 64, DType::f32, Memory::aligned);
  check_layer_norm(1, 1032, DType::f32, Memory::aligned);
  check_layer_norm(2200, 8, DType::bf16, Memory::aligned);
}

TEST_CASE("layer norm keeps the variance of rows whose mean is far from zero") {
  check_layer_norm(5, 67, DType::f32, Memory::aligned, 1000);
  check_layer_norm(5, 64, DType::f32, Memory::aligned, 1000);
  check_layer_norm(5, 2048, DType::f32, Memory::aligned, 1000);
}
