// Every op of the vocabulary: gradients against central differences in f64, and how they are delivered.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "autograd/ops.h"
#include "op_run.h"
#include "tensor/error.h"

using namespace sagitta;
using namespace sagitta::autograd;
using namespace sagitta::test;

namespace {

OpRun run_on_cpu(const OpCase& op_case, DType dtype, const RunOptions& options = {}) {
  return run_case(op_case, cpu_backend(), dtype, case_inputs(op_case, dtype), options);
}

// sum(output * projection) with input `index` moved by `distance` along `direction`.
double projected_output(const OpCase& op_case, std::size_t index, const std::vector<double>& direction,
                        double distance) {
  Backend& backend = cpu_backend();
  const Tensor like(backend, {}, DType::f64);
  std::vector<Variable> inputs;
  for (std::size_t i = 0; i < op_case.inputs.size(); ++i) {
    std::vector<double> values = case_values(op_case, i);
    if (i == index)
      for (std::size_t k = 0; k < values.size(); ++k) values[k] += distance * direction[k];
    inputs.emplace_back(tensor_like(like, op_case.inputs[i], values));
  }
  const Variable y = op_case.run(inputs);
  const std::vector<double> output = values_of(y.value()), seed = values_of(projection(y.value(), y.shape()));
  double sum = 0;
  for (std::size_t k = 0; k < output.size(); ++k) sum += output[k] * seed[k];
  return sum;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  REQUIRE(file.good());
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("gradients agree with central differences in f64") {
  for (const OpCase& op_case : op_cases()) {
    CAPTURE(op_case.name);
    const OpRun run = run_on_cpu(op_case, DType::f64);
    for (std::size_t i = 0; i < op_case.inputs.size(); ++i) {
      CAPTURE(i);
      for (std::uint32_t repetition = 0; repetition < 3; ++repetition) {
        const Tensor like(cpu_backend(), {}, DType::f64);
        const auto direction = values_of(random_like(like, op_case.inputs[i], 200 + repetition));
        const double numeric = (projected_output(op_case, i, direction, op_case.step) -
                                projected_output(op_case, i, direction, -op_case.step)) /
                               (2 * op_case.step);
        const double analytic = dot(run.gradients[i], direction);
        // Relative to the size a projection typically has, so that one that happens to be tiny is no false
        // alarm.
        const double scale = std::max({std::abs(numeric), std::abs(analytic),
                                       0.05 * std::sqrt(dot(run.gradients[i], run.gradients[i]))});
        CHECK(std::abs(numeric - analytic) <= 1e-6 * scale + 1e-12);
      }
    }
  }
}

TEST_CASE("gradients are added to what a filled target holds") {
  for (const OpCase& op_case : op_cases()) {
    CAPTURE(op_case.name);
    const OpRun fresh = run_on_cpu(op_case, DType::f64),
                added = run_on_cpu(op_case, DType::f64, {.buffers = Buffers::holding_ones});
    for (std::size_t i = 0; i < op_case.inputs.size(); ++i) {
      std::vector<double> expected = fresh.gradients[i];
      for (double& value : expected) value += 1;
      CHECK(largest_difference(added.gradients[i], expected) <= 1e-12 * (1 + largest(expected)));
    }
  }
}

TEST_CASE("gradients overwrite an unfilled target without reading it") {
  for (const OpCase& op_case : op_cases()) {
    CAPTURE(op_case.name);
    const OpRun fresh = run_on_cpu(op_case, DType::f64),
                poisoned = run_on_cpu(op_case, DType::f64, {.buffers = Buffers::holding_nan});
    for (std::size_t i = 0; i < op_case.inputs.size(); ++i)
      CHECK(fresh.gradients[i] == poisoned.gradients[i]);
  }
}

TEST_CASE("a constant input is skipped and the others get the same gradient") {
  for (const OpCase& op_case : op_cases()) {
    CAPTURE(op_case.name);
    const OpRun all = run_on_cpu(op_case, DType::f64);
    for (std::size_t skipped = 0; skipped < op_case.inputs.size(); ++skipped) {
      const OpRun run = run_on_cpu(op_case, DType::f64, {.constant_input = static_cast<int>(skipped)});
      CHECK(run.output == all.output);
      for (std::size_t i = 0; i < op_case.inputs.size(); ++i)
        if (i != skipped) CHECK(run.gradients[i] == all.gradients[i]);
    }
  }
}

TEST_CASE("running twice gives bitwise the same output and gradients") {
  for (const OpCase& op_case : op_cases()) {
    CAPTURE(op_case.name);
    for (const DType dtype : {DType::f32, DType::f64}) {
      const OpRun first = run_on_cpu(op_case, dtype), second = run_on_cpu(op_case, dtype);
      CHECK(first.output == second.output);
      CHECK(first.gradients == second.gradients);
    }
  }
}

TEST_CASE("f32 follows f64") {
  for (const OpCase& op_case : op_cases()) {
    CAPTURE(op_case.name);
    const OpRun narrow = run_on_cpu(op_case, DType::f32), wide = run_on_cpu(op_case, DType::f64);
    CHECK(largest_difference(narrow.output, wide.output) <= 2e-5 * (1 + largest(wide.output)));
    for (std::size_t i = 0; i < op_case.inputs.size(); ++i)
      CHECK(largest_difference(narrow.gradients[i], wide.gradients[i]) <=
            1e-4 * (1 + largest(wide.gradients[i])));
  }
}

TEST_CASE("every op of the vocabulary has a case, and every input of a case a gradient") {
  std::set<std::string> covered;
  for (const OpCase& op_case : op_cases()) {
    CAPTURE(op_case.name);
    covered.insert(op_case.op);
    const OpRun run = run_on_cpu(op_case, DType::f64);
    for (const auto& gradient : run.gradients) CHECK(largest(gradient) > 0);
  }
  for (const std::string header :
       {"/autograd/ops.h", "/autograd/recompute.h", "/autograd/retain_gradient.h"}) {
    const std::string text = read_text(SAGITTA_SOURCE_DIR + header);
    const std::regex declaration(R"((?:^|\n)(?:inline )?(?:Variable|std::pair<Variable, Variable>) (\w+)\()");
    int found = 0;
    for (std::sregex_iterator it(text.begin(), text.end(), declaration), end; it != end; ++it, ++found) {
      CAPTURE((*it)[1].str());
      CHECK(covered.contains((*it)[1].str()));
    }
    CHECK(found > 0);
  }
}
