// Attention on a CUDA device: every head dimension and number of tokens where the kernels change their ways,
// in all dtypes, aligned and not, with dropout. The answer is the CPU's in f64, on the same inputs, already
// rounded to the dtype under test.
#include "cuda_operands.h"

using namespace sagitta;
using namespace sagitta::test;

namespace {

Backend& device() { return cuda_test_backend(); }
Backend& cpu() { return cpu_backend(); }

struct AttentionCase {
  Index tokens, dim;
  Index batch = 1;
  int heads = 1;
  double dropout = 0;
  double size = 1;   // of q, k and v
  double depth = 0;  // how far below zero the scores are
  Memory memory = Memory::aligned;
  bool repeat = true;  // for equal bits, and all kinds of targets
};

// Weights and their gradients are rounded to the dtype before they enter a product: each term of a sum of up
// to T is off by up to half a unit in the last place, and most of that cancels. Scores of size s in f32 are
// off by some roundings of s, and so, relatively, are the weights.
double value_bound(DType dtype, double scores) {
  return (dtype == DType::f32 ? 1e-6 : rounding(dtype) / 2) + 8 * scores * rounding(DType::f32);
}
// Tensor cores round toward zero when they add.
double lse_bound(DType dtype) { return dtype == DType::f32 ? 1e-6 : 4e-6; }
double gradient_bound(DType dtype, double scores) { return 2 * value_bound(dtype, scores); }
double largest_score(const AttentionCase& c) { return c.depth + 2 * c.size * c.size; }

Operand packed_operand(const AttentionCase& c, DType dtype) {
  const Shape shape{c.batch, c.tokens, 3 * c.heads * c.dim};
  Values values = random_values(shape.numel(), 1, c.size);
  const double offset = std::sqrt(c.depth / std::sqrt(static_cast<double>(c.dim)));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto part = static_cast<Index>(i) / (c.heads * c.dim) % 3;
    values[i] += part == 0 ? offset : part == 1 ? -offset : 0;
  }
  return operand(shape, dtype, values, c.memory);
}

void check_attention(const AttentionCase& c, DType dtype) {
  CAPTURE(c.tokens);
  CAPTURE(c.dim);
  CAPTURE(c.heads);
  CAPTURE(c.dropout);
  CAPTURE(c.depth);
  CAPTURE(name_of(dtype));
  CAPTURE((c.memory == Memory::aligned));
  const AttentionParams params{.heads = c.heads,
                               .scale = 1 / std::sqrt(static_cast<double>(c.dim)),
                               .dropout = c.dropout,
                               .stream = 3};
  const StepState step{.seed = 11, .micro_step = 4};
  const Tensor state = state_tensor(device(), step), cpu_state = state_tensor(cpu(), step);
  const Shape merged{c.batch, c.tokens, c.heads * c.dim}, rows{c.batch, c.heads, c.tokens};
  const Operand qkv = packed_operand(c, dtype), dy = random_operand(merged, dtype, 2, c.memory);

  Tensor y = poisoned(merged, dtype, c.memory), lse = poisoned(rows, DType::f32);
  Tensor expected_y(cpu(), merged, DType::f64), expected_lse(cpu(), rows, DType::f64);
  device().attention(params, state, qkv.device, y, lse);
  cpu().attention(params, cpu_state, qkv.cpu, expected_y, expected_lse);
  CHECK(excess(y, expected_y) <= value_bound(dtype, largest_score(c)));
  CHECK(excess(lse, expected_lse) <= lse_bound(dtype));
  const Values first = values_of(y), first_lse = values_of(lse);
  if (c.repeat) {
    device().attention(params, state, qkv.device, y, lse);
    CHECK(values_of(y) == first);
    CHECK(values_of(lse) == first_lse);
  }

  // From the y and lse that the device reads.
  const Tensor got_y = from_host(cpu(), merged, first), got_lse = from_host(cpu(), rows, first_lse);
  const Target expected{Tensor(cpu(), qkv.cpu.shape(), DType::f64)};
  cpu().attention_backward(params, cpu_state, qkv.cpu, got_y, got_lse, dy.cpu, expected);
  const double bound = gradient_bound(dtype, largest_score(c));
  const auto backward = [&](const Target& dqkv) {
    device().attention_backward(params, state, qkv.device, y, lse, dy.device, dqkv);
  };
  if (c.repeat) {
    check_target(qkv.cpu.shape(), dtype, c.memory, values_of(expected.dst), bound, backward);
  } else {
    const Target dqkv{poisoned(qkv.cpu.shape(), dtype)};
    backward(dqkv);
    CHECK(excess(dqkv.dst, expected.dst) <= bound);
  }
}

}  // namespace

TEST_CASE("attention over any number of tokens") {
  for (const DType dtype : kComputing)
    for (const Index tokens : {1, 5, 31, 33, 63, 64, 65, 129}) check_attention({tokens, 16}, dtype);
  check_attention({197, 16, 1, 2}, DType::bf16);
  check_attention({197, 16}, DType::f32);
}

TEST_CASE("attention with heads of any width") {
  for (const DType dtype : kComputing)
    for (const Index dim : {3, 8, 32, 40, 64, 80, 128, 160}) check_attention({37, dim, 1, 2}, dtype);
  check_attention({37, 16, 3, 2}, DType::bf16);
  check_attention({131, 128}, DType::f16);
  check_attention({70, 72}, DType::f32);
}

TEST_CASE("attention with dropout draws the CPU's mask") {
  for (const DType dtype : kComputing)
    for (const Index dim : {6, 64, 128}) check_attention({67, dim, 1, 2, 0.3}, dtype);
  for (const DType dtype : kComputing) check_attention({5, 8, 1, 1, 1}, dtype);  // nothing is left
}

TEST_CASE("attention in memory that is not aligned") {
  for (const DType dtype : kComputing)
    check_attention({.tokens = 37, .dim = 8, .heads = 2, .memory = Memory::unaligned}, dtype);
}

// A key that does not exist has the score 0, which would outweigh all others by e^100 and more; and a top
// that rises from tile to tile takes many rescalings.
TEST_CASE("attention with scores far below zero, and far apart") {
  for (const DType dtype : kComputing)
    for (const Index dim : {16, 64, 128}) check_attention({.tokens = 67, .dim = dim, .depth = 100}, dtype);
  for (const DType dtype : kComputing) check_attention({.tokens = 131, .dim = 64, .size = 4}, dtype);
}

TEST_CASE("attention of ViT-B/16 at 384 pixels, one head") {
  check_attention({.tokens = 577, .dim = 64, .repeat = false}, DType::bf16);
}
