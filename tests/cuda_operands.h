// What the tests of the CUDA kernels share: operands on the device with their f64 twins on the CPU, views
// that do not begin where a pack may, and the check that a gradient target is honored. The answer is always
// the CPU's in f64, on inputs that are already rounded to the dtype under test.
#pragma once
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "cuda_test.h"

namespace sagitta::test {

using Values = std::vector<double>;
using Index = std::int64_t;

inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr DType kComputing[] = {DType::f32, DType::bf16, DType::f16};

enum class Memory { aligned, unaligned };  // unaligned: begins one element into its storage
inline constexpr Memory kMemories[] = {Memory::aligned, Memory::unaligned};

inline Tensor device_tensor(const Shape& shape, DType dtype, Memory memory = Memory::aligned) {
  if (memory == Memory::aligned) return Tensor(cuda_test_backend(), shape, dtype);
  const Index n = shape.numel();
  return Tensor(cuda_test_backend(), {n + 1}, dtype).slice(1, n + 1).reshape(shape);
}

inline Tensor poisoned(const Shape& shape, DType dtype, Memory memory = Memory::aligned) {
  Tensor tensor = device_tensor(shape, dtype, memory);
  tensor.backend().fill(tensor, kNaN);
  return tensor;
}

// The same numbers on the device, in the dtype, and on the CPU, in f64.
struct Operand {
  Tensor device, cpu;
};

inline Operand operand(const Shape& shape, DType dtype, const Values& values,
                       Memory memory = Memory::aligned) {
  Tensor rounded(cpu_backend(), shape, dtype), wide(cpu_backend(), shape, DType::f64);
  cpu_backend().convert(from_host(cpu_backend(), shape, values), rounded);
  cpu_backend().convert(rounded, wide);
  Tensor device = device_tensor(shape, dtype, memory);
  device.backend().write(rounded.raw(), device);
  return {device, wide};
}

// In (-size, size), with all bits of a double in use: sums of few-bit numbers would be exact in any order.
inline Values random_values(Index n, std::uint32_t stream, double size = 1) {
  Values values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = size * std::cos(6.28 * random::uniform({7, stream, 0}, i));
  return values;
}

inline Operand random_operand(const Shape& shape, DType dtype, std::uint32_t stream,
                              Memory memory = Memory::aligned, double size = 1) {
  return operand(shape, dtype, random_values(shape.numel(), stream, size), memory);
}

// The elements of a tensor of any device and dtype.
inline Values values_of(const Tensor& tensor) {
  Tensor same(cpu_backend(), tensor.shape(), tensor.dtype()), wide(cpu_backend(), tensor.shape(), DType::f64);
  tensor.backend().read(tensor, same.raw());
  cpu_backend().convert(same, wide);
  return to_host<double>(wide);
}

// The relative error of one rounding.
inline double rounding(DType dtype) {
  if (dtype == DType::bf16) return std::ldexp(1.0, -8);
  if (dtype == DType::f16) return std::ldexp(1.0, -11);
  return std::ldexp(1.0, -24);
}

// The largest excess over what one rounding to `dtype` explains, in units of the largest expected magnitude
// (at least 1): what f32 arithmetic on the way may cost. Infinity when anything is NaN where a number is
// expected.
inline double excess(const Values& got, const Values& expected, DType dtype) {
  REQUIRE(got.size() == expected.size());
  double largest = 1, error = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (got[i] == expected[i] || (std::isnan(got[i]) && std::isnan(expected[i]))) continue;
    const double difference = std::abs(got[i] - expected[i]) - rounding(dtype) * std::abs(expected[i]);
    if (std::isnan(difference)) return kInfinity;
    error = std::max(error, difference);
    largest = std::max(largest, std::abs(expected[i]));
  }
  return error / largest;
}
inline double excess(const Tensor& got, const Values& expected) {
  return excess(values_of(got), expected, got.dtype());
}
inline double excess(const Tensor& got, const Tensor& expected) { return excess(got, values_of(expected)); }

// Runs call(target) with a poisoned target (must overwrite), a filled one (must add, and round once) and an
// empty one (must skip), and a second time for equal bits. `bound` is for excess().
template <class Call>
void check_target(const Shape& shape, DType dtype, Memory memory, const Values& expected, double bound,
                  const Call& call) {
  const Target overwritten{poisoned(shape, dtype, memory), false};
  call(overwritten);
  CHECK(excess(overwritten.dst, expected) <= bound);

  const Operand before = random_operand(shape, dtype, 99, memory);
  Values sum = values_of(before.cpu);
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += expected[i];
  call(Target{before.device, true});
  CHECK(excess(before.device, sum) <= bound);

  const Target again{poisoned(shape, dtype, memory), false};
  call(again);
  CHECK(values_of(again.dst) == values_of(overwritten.dst));
  call(Target{});
}

// The tensor that carries a StepState.
inline Tensor state_tensor(Backend& backend, const StepState& state) {
  std::vector<std::uint8_t> bytes(sizeof state);
  std::memcpy(bytes.data(), &state, sizeof state);
  return from_host(backend, {static_cast<Index>(bytes.size())}, bytes);
}

}  // namespace sagitta::test
