// What the tests of the CPU backend share: random tensors, values as doubles, and the check that every
// gradient target is honored. The references themselves are naive loops in double, written in the tests
// beside what they check.
#pragma once
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "tensor/backend.h"
#include "tensor/cpu_options.h"

namespace sagitta::testing {

using Values = std::vector<double>;
using Index = std::int64_t;

inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Relative to the largest expected value (at least 1): what a sum of some hundred terms loses.
inline double tolerance(DType dtype) { return dtype == DType::f64 ? 1e-12 : 2e-5; }

// In (-1, 1), with all bits of a double in use: sums of few-bit numbers would be exact in any order.
inline Values random_values(Index n, std::uint32_t stream) {
  Values values(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = std::cos(6.28 * random::uniform({7, stream, 0}, i));
  return values;
}

// f32 or f64 tensor of these values.
inline Tensor tensor_of(const Shape& shape, DType dtype, const Values& values) {
  const Tensor exact = from_host(cpu_backend(), shape, values);
  Tensor tensor(cpu_backend(), shape, dtype);
  cpu_backend().convert(exact, tensor);
  return tensor;
}

// Uniform numbers in [-1, 1), different for each stream.
inline Tensor random_tensor(const Shape& shape, DType dtype, std::uint32_t stream) {
  return tensor_of(shape, dtype, random_values(shape.numel(), stream));
}

inline Values values_of(const Tensor& tensor) {
  Tensor wide(cpu_backend(), tensor.shape(), DType::f64);
  cpu_backend().convert(tensor, wide);
  return to_host<double>(wide);
}

// Memory full of NaN, so that an element that is not written, or is read before, shows.
inline Tensor poisoned(const Shape& shape, DType dtype) { return full(cpu_backend(), shape, dtype, kNaN); }

// The largest difference, relative to the largest expected magnitude (at least 1); infinity when anything is
// NaN.
inline double difference(const Values& got, const Values& expected) {
  REQUIRE(got.size() == expected.size());
  double largest = 1, error = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (!(std::abs(got[i] - expected[i]) >= 0)) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, std::abs(expected[i]));
    error = std::max(error, std::abs(got[i] - expected[i]));
  }
  return error / largest;
}
inline double difference(const Tensor& got, const Values& expected) {
  return difference(values_of(got), expected);
}

// Runs call(target) with a poisoned target (must overwrite), a filled one (must add) and an empty one (must
// skip), twice each for equal bits.
template <class Call>
void check_target(const Shape& shape, DType dtype, const Values& expected, const Call& call) {
  const Target overwritten{poisoned(shape, dtype), false};
  call(overwritten);
  CHECK(difference(overwritten.dst, expected) < tolerance(dtype));

  const Values before = random_values(shape.numel(), 99);
  const Target added{tensor_of(shape, dtype, before), true};
  call(added);
  Values sum = expected;
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += before[i];
  CHECK(difference(added.dst, sum) < tolerance(dtype));

  const Target again{poisoned(shape, dtype), false};
  call(again);
  CHECK(values_of(again.dst) == values_of(overwritten.dst));
  call(Target{});
}

// The values that `run` returns must not depend on the number of threads, to the bit.
template <class Run>
void check_thread_independence(const Run& run) {
  const int threads = cpu_threads();
  set_cpu_threads(1);
  const Values one = run();
  for (const int count : {2, 3}) {
    set_cpu_threads(count);
    CHECK(run() == one);
  }
  set_cpu_threads(threads);
}

// The tensor that carries a StepState.
inline Tensor state_tensor(const StepState& state) {
  std::vector<std::uint8_t> bytes(sizeof state);
  std::memcpy(bytes.data(), &state, sizeof state);
  return from_host(cpu_backend(), {static_cast<Index>(bytes.size())}, bytes);
}

// The Jacobian-vector product of y = norm(x) by central differences in f64: good to about 1e-8.
template <class Forward>
Values numeric_gradient(const Values& x, const Values& dy, const Forward& forward) {
  Values gradient(x.size());
  constexpr double kStep = 1e-5;
  for (std::size_t i = 0; i < x.size(); ++i) {
    Values up = x, down = x;
    up[i] += kStep;
    down[i] -= kStep;
    const Values above = forward(up), below = forward(down);
    for (std::size_t j = 0; j < dy.size(); ++j) gradient[i] += dy[j] * (above[j] - below[j]) / (2 * kStep);
  }
  return gradient;
}

// Calls check(dtype) for both computing types.
template <class Check>
void for_both_dtypes(const Check& check) {
  for (const DType dtype : {DType::f64, DType::f32}) {
    CAPTURE(name_of(dtype));
    check(dtype);
  }
}

}  // namespace sagitta::testing
