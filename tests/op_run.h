// Running one op case: forward, and backward from a random projection, on any backend and in any dtype.
#pragma once
#include <vector>

#include "op_cases.h"

namespace sagitta::test {

// How the gradient buffers of the leaves look before backward().
enum class Buffers { fresh, holding_ones, holding_nan };

struct RunOptions {
  Buffers buffers = Buffers::fresh;
  int constant_input = -1;  // this one asks for no gradient
};

struct OpRun {
  std::vector<double> output;
  std::vector<std::vector<double>> gradients;  // empty for constants
};

// `inputs` hold the values of the case's inputs, for instance case_inputs(op_case, dtype).
OpRun run_case(const OpCase& op_case, Backend& backend, DType dtype,
               const std::vector<std::vector<double>>& inputs, const RunOptions& options = {});

// The case's values as `dtype` holds them: with these, a run in f64 is the exact answer to one in `dtype`.
std::vector<std::vector<double>> case_inputs(const OpCase& op_case, DType dtype);

// The seed of backward(): a random projection, since summing the output could not see a wrong layer norm
// backward, whose columns sum to zero. Its values are exact in every dtype.
Tensor projection(const Tensor& like, const Shape& shape);

double largest(const std::vector<double>& values);  // magnitude
double largest_difference(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace sagitta::test
