// Batch norm and layer norm of the CPU backend against their definitions.
#include "kernel_reference.h"

using namespace sagitta;
using namespace sagitta::testing;

namespace {

Backend& b = cpu_backend();

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

struct Norm {
  Values y, mean, rstd, variance;  // biased variance
};

// Normalizes along one axis of a matrix: over the rows for each column (batch norm), or over the columns for
// each row.
Norm naive_norm(const Values& x, Index rows, Index columns, bool over_rows, const Values& gamma,
                const Values& beta, double eps) {
  const Index groups = over_rows ? columns : rows, n = over_rows ? rows : columns;
  Norm norm{Values(x.size()), Values(at(groups)), Values(at(groups)), Values(at(groups))};
  const auto index = [&](Index group, Index i) {
    return at(over_rows ? i * columns + group : group * columns + i);
  };
  for (Index g = 0; g < groups; ++g) {
    for (Index i = 0; i < n; ++i) norm.mean[at(g)] += x[index(g, i)] / static_cast<double>(n);
    for (Index i = 0; i < n; ++i)
      norm.variance[at(g)] += std::pow(x[index(g, i)] - norm.mean[at(g)], 2) / static_cast<double>(n);
    norm.rstd[at(g)] = 1 / std::sqrt(norm.variance[at(g)] + eps);
    for (Index i = 0; i < n; ++i) {
      const std::size_t c = at(over_rows ? g : i);
      norm.y[index(g, i)] = (x[index(g, i)] - norm.mean[at(g)]) * norm.rstd[at(g)] * gamma[c] + beta[c];
    }
  }
  return norm;
}

}  // namespace

TEST_CASE(
    "batch norm: statistics, running averages and output follow the definition, with a mean far from zero") {
  for_both_dtypes([](DType dtype) {
    for (const Index rows : {1, 6, 2000}) {
      const Index channels = 37;
      Values shifted = random_values(rows * channels, 1);
      for (double& v : shifted) v += 1000;  // E[x^2] - E[x]^2 would lose all digits in f32
      const Tensor x = tensor_of({1, 1, rows, channels}, dtype, shifted);
      const Tensor gamma = random_tensor({channels}, dtype, 2), beta = random_tensor({channels}, dtype, 3);
      Tensor running_mean = random_tensor({channels}, dtype, 4), running_var = full(b, {channels}, dtype, 2);
      const Values old_mean = values_of(running_mean);
      const Norm norm =
          naive_norm(values_of(x), rows, channels, true, values_of(gamma), values_of(beta), 1e-5);
      Tensor y = poisoned(x.shape(), dtype), mean = poisoned({channels}, dtype),
             rstd = poisoned({channels}, dtype);
      b.batch_norm({.momentum = 0.3}, x, gamma, beta, running_mean, running_var, y, mean, rstd);
      // In f32 the mean, about 1000, is itself rounded to 6e-5: y inherits that times rstd.
      const double loose = dtype == DType::f64 ? 1e-10 : 1e-3;
      if (rows > 1 || dtype == DType::f64) CHECK(difference(y, norm.y) < loose);
      CHECK(difference(mean, norm.mean) < tolerance(dtype));
      if (rows > 1) CHECK(difference(rstd, norm.rstd) < loose);
      for (Index c = 0; c < channels; ++c) {
        const double unbiased = norm.variance[at(c)] * static_cast<double>(rows) /
                                static_cast<double>(std::max<Index>(1, rows - 1));
        CHECK(values_of(running_mean)[at(c)] ==
              doctest::Approx(0.7 * old_mean[at(c)] + 0.3 * norm.mean[at(c)]).epsilon(1e-6));
        CHECK(values_of(running_var)[at(c)] == doctest::Approx(0.7 * 2 + 0.3 * unbiased).epsilon(1e-5));
      }
    }
  });
}

TEST_CASE(
    "batch norm with residual and ReLU: fused equals composed, forward and backward, training and not") {
  for_both_dtypes([](DType dtype) {
    for (const bool training : {true, false})
      for (const bool relu : {true, false})
        for (const bool with_residual : {true, false}) {
          CAPTURE(training);
          CAPTURE(relu);
          const Shape shape{3, 5, 7, 19};
          const BatchNormParams params{.training = training, .relu = relu};
          const Tensor x = random_tensor(shape, dtype, 1), dy = random_tensor(shape, dtype, 2);
          const Tensor residual = with_residual ? random_tensor(shape, dtype, 3) : Tensor();
          const Tensor gamma = random_tensor({19}, dtype, 4), beta = random_tensor({19}, dtype, 5);
          Tensor running_mean = random_tensor({19}, dtype, 6), running_var = full(b, {19}, dtype, 1.5);
          Tensor other_mean = random_tensor({19}, dtype, 6), other_var = full(b, {19}, dtype, 1.5);
          Tensor y = poisoned(shape, dtype), mean = poisoned({19}, dtype), rstd = mean.like();
          Tensor expected = poisoned(shape, dtype), expected_mean = mean.like(), expected_rstd = mean.like();
          b.batch_norm_add_relu(params, x, gamma, beta, residual, running_mean, running_var, y, mean, rstd);
          b.Backend::batch_norm_add_relu(params, x, gamma, beta, residual, other_mean, other_var, expected,
                                         expected_mean, expected_rstd);
          CHECK(difference(y, values_of(expected)) < tolerance(dtype));
          CHECK(values_of(running_var) == values_of(other_var));

          Tensor dx = x.like(), dgamma = gamma.like(), dbeta = gamma.like(), dresidual = x.like();
          b.Backend::batch_norm_add_relu_backward(params, x, y, gamma, mean, rstd, dy, {dx}, {dgamma},
                                                  {dbeta}, {dresidual});
          const auto run = [&](const Target& to_x, const Target& to_gamma, const Target& to_beta,
                               const Target& to_residual) {
            b.batch_norm_add_relu_backward(params, x, y, gamma, mean, rstd, dy, to_x, to_gamma, to_beta,
                                           to_residual);
          };
          check_target(shape, dtype, values_of(dx), [&](const Target& t) { run(t, {}, {}, {}); });
          check_target({19}, dtype, values_of(dgamma), [&](const Target& t) { run({}, t, {}, {}); });
          check_target({19}, dtype, values_of(dbeta), [&](const Target& t) { run({}, {}, t, {}); });
          check_target(shape, dtype, values_of(dresidual), [&](const Target& t) { run({}, {}, {}, t); });
        }
  });
}

TEST_CASE("batch norm gradients agree with central differences") {
  const Index rows = 9, channels = 3;
  const Tensor gamma = random_tensor({channels}, DType::f64, 2),
               beta = random_tensor({channels}, DType::f64, 3);
  const Tensor x = random_tensor({rows, channels}, DType::f64, 1),
               dy = random_tensor({rows, channels}, DType::f64, 4);
  const auto forward = [&](const Values& in) {
    return naive_norm(in, rows, channels, true, values_of(gamma), values_of(beta), 1e-5).y;
  };
  const Norm norm = naive_norm(values_of(x), rows, channels, true, values_of(gamma), values_of(beta), 1e-5);
  const Tensor mean = tensor_of({channels}, DType::f64, norm.mean),
               rstd = tensor_of({channels}, DType::f64, norm.rstd);
  Tensor dx = x.like();
  b.batch_norm_backward({}, x, gamma, mean, rstd, dy, {dx}, {}, {});
  CHECK(difference(dx, numeric_gradient(values_of(x), values_of(dy), forward)) < 1e-7);
}

TEST_CASE("layer norm and its gradients follow the definition; the fused sum equals the composition") {
  for_both_dtypes([](DType dtype) {
    const Index rows = 7, columns = 45;
    const Tensor x = random_tensor({rows, columns}, dtype, 1),
                 residual = random_tensor({rows, columns}, dtype, 2);
    const Tensor gamma = random_tensor({columns}, dtype, 3), beta = random_tensor({columns}, dtype, 4);
    const Tensor dy = random_tensor({rows, columns}, dtype, 5);
    const auto forward = [&](const Values& in) {
      return naive_norm(in, rows, columns, false, values_of(gamma), values_of(beta), 1e-6);
    };
    const Norm norm = forward(values_of(x));
    Tensor y = poisoned(x.shape(), dtype), mean = poisoned({rows}, dtype), rstd = poisoned({rows}, dtype);
    b.layer_norm(1e-6, x, gamma, beta, y, mean, rstd);
    CHECK(difference(y, norm.y) < tolerance(dtype));
    CHECK(difference(mean, norm.mean) < tolerance(dtype));
    CHECK(difference(rstd, norm.rstd) < tolerance(dtype));

    Values dgamma(at(columns)), dbeta(at(columns));
    const Values xs = values_of(x), dys = values_of(dy);
    for (Index i = 0; i < rows; ++i)
      for (Index j = 0; j < columns; ++j) {
        dgamma[at(j)] +=
            dys[at(i * columns + j)] * (xs[at(i * columns + j)] - norm.mean[at(i)]) * norm.rstd[at(i)];
        dbeta[at(j)] += dys[at(i * columns + j)];
      }
    Tensor dx = x.like();
    b.layer_norm_backward(x, gamma, mean, rstd, dy, {dx}, {}, {});
    const Values numeric = numeric_gradient(xs, dys, [&](const Values& in) { return forward(in).y; });
    CHECK(difference(dx, numeric) < (dtype == DType::f64 ? 1e-7 : 1e-5));
    const auto run = [&](const Target& to_x, const Target& to_gamma, const Target& to_beta) {
      b.layer_norm_backward(x, gamma, mean, rstd, dy, to_x, to_gamma, to_beta);
    };
    check_target(x.shape(), dtype, values_of(dx), [&](const Target& t) { run(t, {}, {}); });
    check_target({columns}, dtype, dgamma, [&](const Target& t) { run({}, t, {}); });
    check_target({columns}, dtype, dbeta, [&](const Target& t) { run({}, {}, t); });

    Tensor sum = poisoned(x.shape(), dtype), expected_sum = x.like(), expected = x.like();
    b.add_layer_norm(1e-6, x, residual, gamma, beta, sum, y, mean, rstd);
    b.Backend::add_layer_norm(1e-6, x, residual, gamma, beta, expected_sum, expected, mean, rstd);
    CHECK(values_of(sum) == values_of(expected_sum));
    CHECK(difference(y, values_of(expected)) < tolerance(dtype));
  });
}

TEST_CASE("norms do not depend on the number of threads") {
  const Index channels = 70;
  const Shape shape{3, 40, 41, channels};
  const Tensor x = random_tensor(shape, DType::f32, 1), dy = random_tensor(shape, DType::f32, 2);
  const Tensor gamma = random_tensor({channels}, DType::f32, 3),
               beta = random_tensor({channels}, DType::f32, 4);
  Tensor y = x.like(), dx = x.like(), mean = gamma.like(), rstd = gamma.like(), dgamma = gamma.like();
  check_thread_independence([&] {
    Tensor running_mean = zeros(b, {channels}, DType::f32), running_var = zeros(b, {channels}, DType::f32);
    b.batch_norm({}, x, gamma, beta, running_mean, running_var, y, mean, rstd);
    return values_of(y);
  });
  check_thread_independence([&] {
    b.batch_norm_backward({}, x, gamma, mean, rstd, dy, {dx}, {dgamma}, {});
    Values all = values_of(dx);
    for (const double v : values_of(dgamma)) all.push_back(v);
    return all;
  });
  Tensor row_mean(b, {3, 40, 41}, DType::f32), row_rstd = row_mean.like();
  b.layer_norm(1e-5, x, gamma, beta, y, row_mean, row_rstd);
  check_thread_independence([&] {
    b.layer_norm_backward(x, gamma, row_mean, row_rstd, dy, {dx}, {dgamma}, {});
    return values_of(dgamma);
  });
}
