// Pooling, token bookkeeping and resizing on a CUDA device. The answer is the CPU's in f64, on the same
// inputs, already rounded to the dtype under test.
#include "cuda_operands.h"

using namespace sagitta;
using namespace sagitta::test;

namespace {

constexpr double kSumBound = 1e-6;  // what a few additions in f32 may be off by

Backend& device() { return cuda_test_backend(); }
Backend& cpu() { return cpu_backend(); }

Tensor wide(const Shape& shape) { return Tensor(cpu(), shape, DType::f64); }

struct PoolCase {
  Shape x;
  PoolParams params;
  Memory memory = Memory::aligned;
};

void check_max_pool(const PoolCase& c, DType dtype) {
  CAPTURE(c.x);
  CAPTURE(c.params.kernel);
  CAPTURE(c.params.stride);
  CAPTURE(name_of(dtype));
  CAPTURE((c.memory == Memory::aligned));
  const Shape pooled{c.x[0], c.params.out(c.x[1]), c.params.out(c.x[2]), c.x[3]};
  Values values = random_values(c.x.numel(), 1, 3);
  for (double& value : values) value = std::round(value);  // many ties
  const Operand x = operand(c.x, dtype, values, c.memory);
  Tensor y = poisoned(pooled, dtype, c.memory), indices = device_tensor(pooled, DType::i32, c.memory);
  Tensor expected = wide(pooled), winners(cpu(), pooled, DType::i32);
  device().max_pool(c.params, x.device, y, indices);
  cpu().max_pool(c.params, x.cpu, expected, winners);
  CHECK(values_of(y) == values_of(expected));
  CHECK(to_host<std::int32_t>(indices) == to_host<std::int32_t>(winners));

  const Operand dy = random_operand(pooled, dtype, 2, c.memory);
  const Target dx{wide(c.x)};
  cpu().max_pool_backward(c.params, winners, dy.cpu, dx);
  check_target(c.x, dtype, c.memory, values_of(dx.dst), kSumBound,
               [&](const Target& t) { device().max_pool_backward(c.params, indices, dy.device, t); });
}

}  // namespace

TEST_CASE("max pool and its gradient, with ties, for windows that overlap, touch or leave gaps") {
  for (const DType dtype : kComputing)
    for (const Memory memory : kMemories)
      for (const Index channels : {3, 16, 64})
        for (const PoolParams& params : {PoolParams{3, 2, 1}, PoolParams{2, 2, 0}, PoolParams{3, 1, 1},
                                         PoolParams{5, 3, 2}, PoolParams{2, 3, 0}, PoolParams{1, 1, 0}})
          check_max_pool({{2, 9, 8, channels}, params, memory}, dtype);
  check_max_pool({{2, 7, 7, 8}, {7, 7, 0}}, DType::bf16);
  check_max_pool({{1, 4, 40, 64}, {3, 2, 1}}, DType::bf16);  // several blocks per row
  check_max_pool({{290, 8, 2, 8}, {3, 2, 1}}, DType::bf16);  // rows in turns
}

TEST_CASE("max pool: NaN wins, minus infinity does not lose to the padding, gradients reach both") {
  const double low = -kInfinity;
  const Operand x =
      operand({1, 4, 4, 1}, DType::f16, {1, 2, kNaN, 4, 5, 3, 9, kNaN, low, low, 7, 8, low, low, 8, 8});
  Tensor y = poisoned({1, 2, 2, 1}, DType::f16), indices = device_tensor({1, 2, 2, 1}, DType::i32);
  device().max_pool({.kernel = 2, .stride = 2, .padding = 0}, x.device, y, indices);
  const Values got = values_of(y);
  CHECK(got[0] == 5);
  CHECK(std::isnan(got[1]));
  CHECK(got[2] == low);
  CHECK(got[3] == 8);
  CHECK(to_host<std::int32_t>(indices) == std::vector<std::int32_t>{4, 2, 8, 11});
}

TEST_CASE("global average pool and its gradient") {
  for (const DType dtype : kComputing)
    for (const Memory memory : kMemories)
      for (const Shape& shape :
           {Shape{2, 7, 7, 37}, Shape{1, 1, 1, 8}, Shape{3, 5, 2, 264}, Shape{2, 3, 4, 64}}) {
        CAPTURE(shape.str());
        CAPTURE(name_of(dtype));
        const Shape pooled{shape[0], shape[3]};
        const Operand x = random_operand(shape, dtype, 1, memory),
                      dy = random_operand(pooled, dtype, 2, memory);
        Tensor y = poisoned(pooled, dtype, memory), expected = wide(pooled);
        device().global_avg_pool(x.device, y);
        cpu().global_avg_pool(x.cpu, expected);
        CHECK(excess(y, expected) <= kSumBound);
        const Target dx{wide(shape)};
        cpu().global_avg_pool_backward(dy.cpu, dx);
        check_target(shape, dtype, memory, values_of(dx.dst), kSumBound,
                     [&](const Target& t) { device().global_avg_pool_backward(dy.device, t); });
      }
}

TEST_CASE("prepending a token, and its gradients") {
  for (const DType dtype : kComputing)
    for (const Memory memory : kMemories)
      for (const Shape& patches_shape : {Shape{3, 4, 5}, Shape{5, 17, 64}, Shape{1, 1, 264}}) {
        const Index images = patches_shape[0], tokens = patches_shape[1], dim = patches_shape[2];
        CAPTURE(patches_shape.str());
        CAPTURE(name_of(dtype));
        const Shape shape{images, tokens + 1, dim}, token{dim}, table{tokens + 1, dim};
        const Operand patches = random_operand(patches_shape, dtype, 1, memory);
        const Operand cls = random_operand(token, dtype, 2, memory);
        const Operand positions = random_operand(table, dtype, 3, memory);
        Tensor y = poisoned(shape, dtype, memory), expected = wide(shape);
        device().prepend_token(patches.device, cls.device, positions.device, y);
        cpu().prepend_token(patches.cpu, cls.cpu, positions.cpu, expected);
        CHECK(excess(y, expected) <= kSumBound);

        const Operand dy = random_operand(shape, dtype, 4, memory);
        const Target dpatches{wide(patches_shape)}, dcls{wide(token)}, dpositions{wide(table)};
        cpu().prepend_token_backward(dy.cpu, dpatches, dcls, dpositions);
        const auto backward = [&](const Target& a, const Target& b, const Target& c) {
          device().prepend_token_backward(dy.device, a, b, c);
        };
        check_target(patches_shape, dtype, memory, values_of(dpatches.dst), kSumBound,
                     [&](const Target& t) { backward(t, {}, {}); });
        check_target(token, dtype, memory, values_of(dcls.dst), kSumBound,
                     [&](const Target& t) { backward({}, t, {}); });
        check_target(table, dtype, memory, values_of(dpositions.dst), kSumBound,
                     [&](const Target& t) { backward({}, {}, t); });
        // An accumulating class token must not show in the positions.
        const Target all[] = {{poisoned(patches_shape, dtype)},
                              {random_operand(token, dtype, 5).device, true},
                              {poisoned(table, dtype)}};
        backward(all[0], all[1], all[2]);
        CHECK(excess(all[0].dst, dpatches.dst) <= kSumBound);
        CHECK(excess(all[2].dst, dpositions.dst) <= kSumBound);
      }
}

TEST_CASE("selecting a token, and its gradient") {
  for (const DType dtype : kComputing)
    for (const Memory memory : kMemories)
      for (const Shape& shape : {Shape{3, 4, 5}, Shape{5, 17, 64}})
        for (const Index index : {Index{0}, Index{2}, shape[1] - 1}) {
          CAPTURE(shape.str());
          CAPTURE(index);
          const Shape picked{shape[0], shape[2]};
          const Operand x = random_operand(shape, dtype, 1, memory),
                        dy = random_operand(picked, dtype, 2, memory);
          Tensor y = poisoned(picked, dtype, memory), expected = wide(picked);
          device().select_token(x.device, index, y);
          cpu().select_token(x.cpu, index, expected);
          CHECK(values_of(y) == values_of(expected));
          const Target dx{wide(shape)};
          cpu().select_token_backward(dy.cpu, index, dx);
          check_target(shape, dtype, memory, values_of(dx.dst), 0,
                       [&](const Target& t) { device().select_token_backward(dy.device, index, t); });
        }
}

TEST_CASE("bicubic resizing, up and down, and its gradient") {
  struct Case {
    Shape from, to;
  };
  for (const DType dtype : kComputing)
    for (const auto& [from, to] : {Case{{3, 4, 5}, {7, 9, 5}}, Case{{14, 6, 40}, {5, 6, 40}},
                                   Case{{1, 1, 3}, {3, 2, 3}}, Case{{4, 4, 300}, {6, 6, 300}}}) {
      CAPTURE(from);
      CAPTURE(to);
      CAPTURE(name_of(dtype));
      const Operand x = random_operand(from, dtype, 1), dy = random_operand(to, dtype, 2);
      Tensor y = poisoned(to, dtype), expected = wide(to);
      device().resize_bicubic(x.device, y);
      cpu().resize_bicubic(x.cpu, expected);
      CHECK(excess(y, expected) <= kSumBound);
      const Target dx{wide(from)};
      cpu().resize_bicubic_backward(dy.cpu, dx);
      check_target(from, dtype, Memory::aligned, values_of(dx.dst), kSumBound,
                   [&](const Target& t) { device().resize_bicubic_backward(dy.device, t); });
    }
}
