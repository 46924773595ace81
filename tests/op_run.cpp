#include "op_run.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

namespace sagitta::test {

using namespace autograd;

OpRun run_case(const OpCase& op_case, Backend& backend, DType dtype,
               const std::vector<std::vector<double>>& inputs, const RunOptions& options) {
  const Tensor like(backend, {}, dtype);
  std::vector<Variable> variables;
  for (std::size_t i = 0; i < op_case.inputs.size(); ++i) {
    const Tensor value = tensor_like(like, op_case.inputs[i], inputs.at(i));
    if (static_cast<int>(i) == options.constant_input) {
      variables.emplace_back(value);
      continue;
    }
    variables.push_back(leaf(value));
    auto& node = dynamic_cast<Leaf&>(*variables.back().node());
    if (options.buffers == Buffers::holding_nan)
      node.bind(full(backend, value.shape(), dtype, std::numeric_limits<double>::quiet_NaN()));
    if (options.buffers == Buffers::holding_ones) {
      Target target = node.gradient_target();
      backend.fill(target.dst, 1);
    }
  }
  const Variable y = op_case.run(variables);
  OpRun run{values_of(y.value()), {}};
  if (y.requires_gradient()) backward(y, projection(y.value(), y.shape()));
  for (const Variable& variable : variables)
    run.gradients.push_back(variable.requires_gradient() ? values_of(variable.gradient())
                                                         : std::vector<double>());
  return run;
}

std::vector<std::vector<double>> case_inputs(const OpCase& op_case, DType dtype) {
  const Tensor like(cpu_backend(), {}, dtype);
  std::vector<std::vector<double>> inputs;
  for (std::size_t i = 0; i < op_case.inputs.size(); ++i)
    inputs.push_back(values_of(tensor_like(like, op_case.inputs[i], case_values(op_case, i))));
  return inputs;
}

Tensor projection(const Tensor& like, const Shape& shape) {
  constexpr std::uint32_t kStream = 77;
  constexpr double kStep = 1.0 / 32;  // up to 4 in magnitude: 8 bits
  std::vector<double> values(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = std::round(random::normal({23, kStream, 0}, i) / kStep) * kStep;
  return tensor_like(like, shape, values);
}

double largest(const std::vector<double>& values) {
  double result = 0;
  for (double value : values) result = std::max(result, std::abs(value));
  return result;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double result = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    // A NaN on one side only is as different as can be.
    if (std::isnan(a[i]) != std::isnan(b[i])) return std::numeric_limits<double>::infinity();
    if (!std::isnan(a[i])) result = std::max(result, std::abs(a[i] - b[i]));
  }
  return result;
}

}  // namespace sagitta::test
