// The one list of op cases: each names an op of autograd/ops.h, the shapes of its differentiable inputs,
// where their values come from, and how to call it. Drivers: gradients in f64, f32 against f64
// (test_gradients.cpp), and any further backend against the CPU. An op of the vocabulary without a case here
// fails a test.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "autograd/variable.h"

namespace sagitta::test {

enum class Domain {
  normal,          // standard normal
  away_from_zero,  // |x| in [0.2, 1.2]: no kink within a finite difference
  distinct,        // all values at least 0.01 apart: the winner of a maximum stays the winner
};

struct OpCase {
  std::string op;    // name in autograd/ops.h
  std::string name;  // what is special about this case
  std::vector<Shape> inputs;
  Domain domain = Domain::normal;
  // Takes inputs of any computing dtype, all alike; casts within where an op wants f32 beside 16 bits.
  std::function<autograd::Variable(const std::vector<autograd::Variable>&)> run;
  // Distance for central differences; large where the op is linear and its values are rounded.
  double step = 1e-5;
};

const std::vector<OpCase>& op_cases();

// Values of input `index` of a case, the same for every dtype and backend.
std::vector<double> case_values(const OpCase& op_case, std::size_t index);

// A tensor of the dtype and backend of `like`, holding `values`.
Tensor tensor_like(const Tensor& like, const Shape& shape, const std::vector<double>& values);
// A tensor of standard normal numbers of stream `stream`.
Tensor random_like(const Tensor& like, const Shape& shape, std::uint32_t stream);
// The elements of an f32 or f64 tensor.
std::vector<double> values_of(const Tensor& tensor);

}  // namespace sagitta::test
