// Elementwise ops, conversions and sums on a CUDA device: packs and their ragged ends, views that are not
// aligned, several blocks, working in place, targets.
#include "cuda_operands.h"

using namespace sagitta;
using namespace sagitta::test;

namespace {

Backend& device() { return cuda_test_backend(); }
Backend& cpu() { return cpu_backend(); }

// What erf, exp and tanh in f32 may be off by.
constexpr double kFormula = 1e-6;
// One element; less than a pack; a ragged end; more than a block.
constexpr Index kSizes[] = {1, 7, 1029, 5000};

Tensor wide_like(const Tensor& tensor) { return Tensor(cpu(), tensor.shape(), DType::f64); }

// Calls check(dtype, memory, n).
template <class Check>
void for_each_layout(const Check& check) {
  for (const DType dtype : kComputing)
    for (const Memory memory : kMemories)
      for (const Index n : kSizes) {
        CAPTURE(name_of(dtype));
        CAPTURE(n);
        CAPTURE((memory == Memory::aligned));
        check(dtype, memory, n);
      }
}

constexpr UnaryOp kUnary[] = {UnaryOp::identity,   UnaryOp::relu,  UnaryOp::gelu,    UnaryOp::gelu_tanh,
                              UnaryOp::quick_gelu, UnaryOp::silu,  UnaryOp::sigmoid, UnaryOp::tanh,
                              UnaryOp::exp,        UnaryOp::square};
constexpr BinaryOp kBinary[] = {BinaryOp::add, BinaryOp::sub, BinaryOp::mul};
constexpr DType kAllDTypes[] = {DType::f32, DType::f64, DType::bf16, DType::f16,
                                DType::i32, DType::i64, DType::i16,  DType::u8};

std::vector<std::byte> bytes_of(const Tensor& tensor) {
  std::vector<std::byte> bytes(tensor.bytes());
  tensor.backend().read(tensor, bytes.data());
  return bytes;
}

}  // namespace

TEST_CASE("unary ops: value, in place, derivative") {
  for (const UnaryOp op : kUnary) {
    CAPTURE(static_cast<int>(op));
    for_each_layout([&](DType dtype, Memory memory, Index n) {
      const Operand x = random_operand({n}, dtype, 1, memory, 3), dy = random_operand({n}, dtype, 2, memory);
      Tensor y = poisoned({n}, dtype, memory), expected = wide_like(x.cpu);
      device().unary(op, x.device, y);
      cpu().unary(op, x.cpu, expected);
      CHECK(excess(y, expected) <= kFormula);

      // The derivative from what is really saved: y as it was rounded.
      const Saves saves = saves_of(op);
      const Operand output = operand({n}, dtype, values_of(y), memory);
      const Operand saved = saves == Saves::input ? x : saves == Saves::output ? output : Operand{};
      Tensor dx = wide_like(x.cpu);
      cpu().unary_backward(op, saved.cpu, dy.cpu, {dx});
      check_target({n}, dtype, memory, values_of(dx), kFormula,
                   [&](const Target& t) { device().unary_backward(op, saved.device, dy.device, t); });
      device().unary_backward(op, saved.device, dy.device, {dy.device});
      CHECK(excess(dy.device, dx) <= kFormula);

      Tensor in_place = x.device;
      device().unary(op, in_place, in_place);
      CHECK(values_of(in_place) == values_of(y));
    });
  }
}

TEST_CASE("ReLU passes NaN on, and infinity") {
  const Tensor x = operand({4}, DType::bf16, {kNaN, -kInfinity, kInfinity, -0.5}).device;
  Tensor y = poisoned({4}, DType::bf16);
  device().unary(UnaryOp::relu, x, y);
  const Values values = values_of(y);
  CHECK(std::isnan(values[0]));
  CHECK(Values(values.begin() + 1, values.end()) == Values{0, kInfinity, 0});
}

TEST_CASE("binary ops: value, in place, both derivatives") {
  for (const BinaryOp op : kBinary) {
    CAPTURE(static_cast<int>(op));
    for_each_layout([&](DType dtype, Memory memory, Index n) {
      const Operand a = random_operand({n}, dtype, 1, memory), b = random_operand({n}, dtype, 2, memory);
      const Operand dy = random_operand({n}, dtype, 3, memory);
      Tensor y = poisoned({n}, dtype, memory), expected = wide_like(a.cpu);
      device().binary(op, a.device, b.device, y);
      cpu().binary(op, a.cpu, b.cpu, expected);
      CHECK(excess(y, expected) <= kFormula);

      const bool saves = saves_of(op) == Saves::input;
      const Operand left = saves ? a : Operand{}, right = saves ? b : Operand{};
      Tensor da = wide_like(a.cpu), db = wide_like(a.cpu);
      cpu().binary_backward(op, left.cpu, right.cpu, dy.cpu, {da}, {db});
      check_target({n}, dtype, memory, values_of(da), kFormula, [&](const Target& t) {
        device().binary_backward(op, left.device, right.device, dy.device, t, {});
      });
      check_target({n}, dtype, memory, values_of(db), kFormula, [&](const Target& t) {
        device().binary_backward(op, left.device, right.device, dy.device, {}, t);
      });

      Tensor in_place = b.device;
      device().binary(op, a.device, in_place, in_place);
      CHECK(values_of(in_place) == values_of(y));
    });
  }
}

TEST_CASE("scale and scale_by between all computing types") {
  for (const DType to : kComputing) {
    CAPTURE(name_of(to));
    for_each_layout([&](DType from, Memory memory, Index n) {
      const Operand x = random_operand({n}, from, 1, memory);
      Tensor expected = wide_like(x.cpu);
      cpu().scale(x.cpu, -1.75, {expected});
      check_target({n}, to, memory, values_of(expected), kFormula,
                   [&](const Target& t) { device().scale(x.device, -1.75, t); });
      const Tensor scalar = from_host<float>(device(), {1}, {-1.75F});
      check_target({n}, to, memory, values_of(expected), kFormula,
                   [&](const Target& t) { device().scale_by(x.device, scalar, t); });
    });
  }
}

TEST_CASE("convert gives the CPU's bits between any two types") {
  const Values values = {0, 1, 2.75, 100, 7.0 / 3, 127, 33.4375, 3, 12, 90.5};
  for (const DType from : kAllDTypes)
    for (const DType to : kAllDTypes)
      for (const Memory memory : kMemories) {
        CAPTURE(name_of(from));
        CAPTURE(name_of(to));
        const Index n = static_cast<Index>(values.size());
        Tensor x(cpu(), {n}, from), expected(cpu(), {n}, to);
        cpu().convert(from_host(cpu(), {n}, values), x);
        cpu().convert(x, expected);
        Tensor source = device_tensor({n}, from, memory), y = device_tensor({n}, to, memory);
        device().write(x.raw(), source);
        device().convert(source, y);
        CHECK(bytes_of(y) == bytes_of(expected));
      }
}

TEST_CASE("convert: what does not fit into 16 bits, and integers beyond a double") {
  const Tensor x = operand({6}, DType::f32, {70000, -70000, 1e-9, kInfinity, kNaN, 65519}).device;
  Tensor half = poisoned({6}, DType::f16);
  device().convert(x, half);
  const Values values = values_of(half);
  CHECK(std::isnan(values[4]));
  CHECK(Values(values.begin(), values.begin() + 4) == Values{kInfinity, -kInfinity, 0, kInfinity});
  CHECK(values[5] == 65504);

  const std::vector<std::int64_t> large = {(std::int64_t{1} << 62) + 1, -3};
  Tensor same(device(), {2}, DType::i64), low(device(), {2}, DType::i32);
  device().convert(from_host(device(), {2}, large), same);
  device().convert(same, low);
  CHECK(to_host<std::int64_t>(same) == large);
  CHECK(to_host<std::int32_t>(low) == std::vector<std::int32_t>{1, -3});
}

TEST_CASE("fill writes every element of a view of any type, and nothing beside it") {
  for (const DType dtype : kAllDTypes)
    for (const Index n : {1, 3, 16, 4099})
      for (const Index begin : {0, 1, 16}) {
        CAPTURE(name_of(dtype));
        CAPTURE(n);
        CAPTURE(begin);
        Tensor whole(device(), {begin + n + 1}, dtype);
        device().fill(whole, 5);
        Tensor view = whole.slice(begin, begin + n);
        device().fill(view, 3);
        Values expected(static_cast<std::size_t>(begin + n + 1), 3);
        for (Index i = 0; i < begin; ++i) expected[static_cast<std::size_t>(i)] = 5;
        expected.back() = 5;
        CHECK(values_of(whole) == expected);
      }
}

TEST_CASE("increment counts every element up") {
  Tensor counter = from_host<std::int64_t>(device(), {3}, {0, -1, std::int64_t{1} << 40});
  device().increment(counter);
  CHECK(to_host<std::int64_t>(counter) == std::vector<std::int64_t>{1, 0, (std::int64_t{1} << 40) + 1});
}

TEST_CASE("add_bias: narrow, wide, many rows, in place") {
  for (const DType dtype : kComputing)
    for (const Memory memory : kMemories)
      for (const Shape& shape :
           {Shape{5, 1}, Shape{33, 7}, Shape{700, 24}, Shape{3, 19, 256}, Shape{9, 768}}) {
        CAPTURE(name_of(dtype));
        CAPTURE(shape[0]);
        const Operand x = random_operand(shape, dtype, 1, memory),
                      bias = random_operand({shape.back()}, dtype, 2);
        Tensor y = poisoned(shape, dtype, memory), expected = wide_like(x.cpu);
        device().add_bias(x.device, bias.device, y);
        cpu().add_bias(x.cpu, bias.cpu, expected);
        CHECK(excess(y, expected) <= kFormula);
        Tensor in_place = x.device;
        device().add_bias(in_place, bias.device, in_place);
        CHECK(values_of(in_place) == values_of(y));
      }
}

TEST_CASE("sum and squared norm: from nothing to several rounds of all blocks") {
  for (const DType dtype : kComputing)
    for (const Memory memory : kMemories)
      for (const Index n : {0, 1, 1029, 300001}) {
        CAPTURE(name_of(dtype));
        CAPTURE(n);
        const Operand x = random_operand({n}, dtype, 1, memory);
        Tensor y = poisoned({1}, dtype), again = poisoned({1}, dtype), expected(cpu(), {1}, DType::f64);
        device().sum(x.device, y);
        device().sum(x.device, again);
        cpu().sum(x.cpu, expected);
        // Relative to the size of the terms, not to what is left of them.
        CHECK(std::abs(values_of(y)[0] - scalar_of(expected)) <=
              rounding(dtype) * std::abs(scalar_of(expected)) + 1e-7 * std::sqrt(static_cast<double>(n)));
        CHECK(bytes_of(again) == bytes_of(y));
      }
  for (const Index n : {0, 5, 2300000}) {
    const Operand x = random_operand({n}, DType::f32, 1);
    Tensor y = poisoned({1}, DType::f32), expected(cpu(), {1}, DType::f64);
    device().squared_norm(x.device, y);
    cpu().squared_norm(x.cpu, expected);
    CHECK(scalar_of(y) == doctest::Approx(scalar_of(expected)).epsilon(1e-6));
  }
  for (const double bad : {kInfinity, kNaN}) {
    Values values(3000, 0.5);
    values[2999] = bad;
    Tensor y = poisoned({1}, DType::f32);
    device().squared_norm(operand({3000}, DType::f32, values).device, y);
    CHECK_FALSE(std::isfinite(scalar_of(y)));
  }
}

TEST_CASE("sum_rows: narrow, wide, many rows, none") {
  for (const DType dtype : kComputing)
    for (const Memory memory : kMemories)
      for (const Shape& shape :
           {Shape{1, 1}, Shape{0, 5}, Shape{37, 7}, Shape{2000, 3}, Shape{1500, 64}, Shape{2, 65, 768}}) {
        CAPTURE(name_of(dtype));
        CAPTURE(shape[0]);
        const Index columns = shape.back();
        const Operand x = random_operand(shape, dtype, 1, memory);
        Tensor expected(cpu(), {columns}, DType::f64);
        cpu().sum_rows(x.cpu, {expected});
        check_target({columns}, dtype, memory, values_of(expected), 5e-6,
                     [&](const Target& t) { device().sum_rows(x.device, t); });
      }
}
