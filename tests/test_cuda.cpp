// Every op of the vocabulary on a CUDA device: the CPU in f64, on the same inputs, is the answer.
#include <doctest/doctest.h>

#include <cmath>
#include <memory>

#include "cuda_test.h"
#include "op_run.h"

using namespace sagitta;
using namespace sagitta::test;

namespace {

// The largest relative error of one rounding.
double rounding(DType dtype) { return std::ldexp(1.0, dtype == DType::bf16 ? -8 : -11); }

// f32: the bounds that the CPU's f32 meets (test_gradients.cpp). 16 bits: a few roundings of intermediate
// values, each relative to a value of about the largest one's size.
double output_bound(DType dtype, double size) {
  return dtype == DType::f32 ? 2e-5 * (1 + size) : 3 * rounding(dtype) * (0.1 + size);
}
double gradient_bound(DType dtype, double size) {
  return dtype == DType::f32 ? 1e-4 * (1 + size) : 5 * rounding(dtype) * (0.1 + size);
}

constexpr DType kDTypes[] = {DType::f32, DType::bf16, DType::f16};

OpRun run_on_device(const OpCase& op_case, DType dtype, const RunOptions& options = {}) {
  return run_case(op_case, cuda_test_backend(), dtype, case_inputs(op_case, dtype), options);
}

}  // namespace

TEST_CASE("every op agrees with the CPU in f64, in every dtype") {
  for (const OpCase& op_case : op_cases()) {
    CAPTURE(op_case.name);
    for (const DType dtype : kDTypes) {
      CAPTURE(name_of(dtype));
      const OpRun device = run_on_device(op_case, dtype);
      const OpRun reference = run_case(op_case, cpu_backend(), DType::f64, case_inputs(op_case, dtype));
      CHECK(largest_difference(device.output, reference.output) <=
            output_bound(dtype, largest(reference.output)));
      for (std::size_t i = 0; i < reference.gradients.size(); ++i) {
        CAPTURE(i);
        CHECK(largest_difference(device.gradients[i], reference.gradients[i]) <=
              gradient_bound(dtype, largest(reference.gradients[i])));
      }
    }
  }
}

TEST_CASE("gradients are added to what a filled target holds") {
  for (const OpCase& op_case : op_cases()) {
    CAPTURE(op_case.name);
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const OpRun fresh = run_on_device(op_case, dtype),
                  added = run_on_device(op_case, dtype, {.buffers = Buffers::holding_ones});
      for (std::size_t i = 0; i < fresh.gradients.size(); ++i) {
        std::vector<double> expected = fresh.gradients[i];
        for (double& value : expected) value += 1;
        CHECK(largest_difference(added.gradients[i], expected) <= gradient_bound(dtype, largest(expected)));
      }
    }
  }
}

TEST_CASE("gradients overwrite an unfilled target without reading it") {
  for (const OpCase& op_case : op_cases()) {
    CAPTURE(op_case.name);
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const OpRun fresh = run_on_device(op_case, dtype),
                  poisoned = run_on_device(op_case, dtype, {.buffers = Buffers::holding_nan});
      for (std::size_t i = 0; i < fresh.gradients.size(); ++i)
        CHECK(fresh.gradients[i] == poisoned.gradients[i]);
    }
  }
}

TEST_CASE("a constant input is skipped and the others get the same gradient") {
  for (const OpCase& op_case : op_cases()) {
    CAPTURE(op_case.name);
    const OpRun all = run_on_device(op_case, DType::f32);
    for (std::size_t skipped = 0; skipped < op_case.inputs.size(); ++skipped) {
      const OpRun run = run_on_device(op_case, DType::f32, {.constant_input = static_cast<int>(skipped)});
      CHECK(run.output == all.output);
      for (std::size_t i = 0; i < op_case.inputs.size(); ++i)
        if (i != skipped)
          CHECK(largest_difference(run.gradients[i], all.gradients[i]) <=
                gradient_bound(DType::f32, largest(all.gradients[i])));
    }
  }
}

TEST_CASE("running twice gives bitwise the same output and gradients") {
  for (const OpCase& op_case : op_cases()) {
    CAPTURE(op_case.name);
    for (const DType dtype : kDTypes) {
      const OpRun first = run_on_device(op_case, dtype), second = run_on_device(op_case, dtype);
      CHECK(first.output == second.output);
      CHECK(first.gradients == second.gradients);
    }
  }
}
