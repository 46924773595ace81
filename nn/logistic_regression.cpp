#include "nn/logistic_regression.h"

#include <algorithm>
#include <cmath>

#include "tensor/error.h"

namespace sagitta::nn {
namespace {

// Rows [rows, width] with a leading 1 and standardized features: what the fit sees.
struct Design {
  std::size_t width = 0;
  std::vector<double> rows, mean, scale;

  std::span<const double> row(std::size_t i) const { return std::span(rows).subspan(i * width, width); }
};

Design standardized(std::span<const double> features, std::size_t count) {
  const std::size_t columns = features.size() / count;
  Design design{.width = columns + 1, .rows = {}, .mean = {}, .scale = {}};
  for (std::size_t c = 0; c < columns; ++c) {
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < count; ++i) sum += features[i * columns + c];
    const double mean = sum / static_cast<double>(count);
    for (std::size_t i = 0; i < count; ++i) squares += std::pow(features[i * columns + c] - mean, 2);
    const double deviation = std::sqrt(squares / static_cast<double>(count));
    design.mean.push_back(mean);
    // What varies by rounding only does not vary.
    design.scale.push_back(deviation > 1e-12 * std::abs(mean) ? deviation : 0);
  }
  for (std::size_t i = 0; i < count; ++i) {
    design.rows.push_back(1);
    for (std::size_t c = 0; c < columns; ++c)
      design.rows.push_back(
          design.scale[c] == 0 ? 0 : (features[i * columns + c] - design.mean[c]) / design.scale[c]);
  }
  return design;
}

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

double objective(const Design& design, std::span<const float> targets, std::span<const double> w,
                 double penalty) {
  double sum = penalty / 2 * dot(w.subspan(1), w.subspan(1));
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const double x = targets[i] > 0.5F ? -dot(design.row(i), w) : dot(design.row(i), w);
    sum += std::log1p(std::exp(-std::abs(x))) + std::max(x, 0.0);
  }
  return sum;
}

// Solves the positive definite system a x = b [n] by Cholesky's factorization; a [n, n] is overwritten.
std::vector<double> solve(std::vector<double> a, std::vector<double> b) {
  const std::size_t n = b.size();
  for (std::size_t j = 0; j < n; ++j)
    for (std::size_t i = j; i < n; ++i) {
      for (std::size_t k = 0; k < j; ++k) a[i * n + j] -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = i == j ? std::sqrt(a[j * n + j]) : a[i * n + j] / a[j * n + j];
    }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < i; ++k) b[i] -= a[i * n + k] * b[k];
    b[i] /= a[i * n + i];
  }
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t k = i + 1; k < n; ++k) b[i] -= a[k * n + i] * b[k];
    b[i] /= a[i * n + i];
  }
  return b;
}

// Newton's step from w: the solution of hessian step = gradient.
std::vector<double> newton_step(const Design& design, std::span<const float> targets,
                                std::span<const double> w, double penalty) {
  const std::size_t n = design.width;
  std::vector<double> gradient(n, 0.0), hessian(n * n, 0.0);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const std::span<const double> x = design.row(i);
    const double p = 1 / (1 + std::exp(-dot(x, w))), curvature = p * (1 - p);
    for (std::size_t a = 0; a < n; ++a) {
      gradient[a] += (p - targets[i]) * x[a];
      for (std::size_t b = 0; b < n; ++b) hessian[a * n + b] += curvature * x[a] * x[b];
    }
  }
  for (std::size_t a = 0; a < n; ++a) {
    if (a > 0) gradient[a] += penalty * w[a];
    // Far out the intercept's own curvature underflows; the smallest addition keeps the system solvable.
    hessian[a * n + a] += a > 0 ? penalty : 1e-12;
  }
  return solve(std::move(hessian), std::move(gradient));
}

}  // namespace

double LogisticRegression::logit(std::span<const double> features) const {
  require(features.size() == coefficients.size(), "logistic regression: {} features, expected {}",
          features.size(), coefficients.size());
  return intercept + dot(coefficients, features);
}

LogisticRegression fit_logistic_regression(std::span<const double> features, std::span<const float> targets,
                                           double penalty) {
  const std::size_t count = targets.size();
  require(count > 0 && features.size() % count == 0, "logistic regression: {} features for {} targets",
          features.size(), count);
  require(penalty > 0, "logistic regression: penalty is {}, expected above 0", penalty);
  const auto positives = std::count_if(targets.begin(), targets.end(), [](float t) { return t > 0.5F; });
  require(positives > 0 && static_cast<std::size_t>(positives) < count,
          "logistic regression: all targets are {}, expected both classes", positives > 0 ? 1 : 0);
  require(std::all_of(features.begin(), features.end(), [](double x) { return std::isfinite(x); }),
          "logistic regression: a feature is not finite");
  const Design design = standardized(features, count);
  std::vector<double> w(design.width, 0.0);
  double value = objective(design, targets, w, penalty);
  for (int iteration = 0; iteration < 200; ++iteration) {
    const std::vector<double> step = newton_step(design, targets, w, penalty);
    // Halved until the objective falls: Newton's full step can overshoot.
    std::vector<double> next = w;
    double next_value = value, size = 1;
    for (; size > 1e-10; size /= 2) {
      for (std::size_t i = 0; i < w.size(); ++i) next[i] = w[i] - size * step[i];
      if ((next_value = objective(design, targets, next, penalty)) <= value) break;
    }
    if (size <= 1e-10) break;  // no step improves: rounding is all that is left
    const bool done = std::sqrt(dot(step, step)) < 1e-10 * (1 + std::sqrt(dot(w, w)));
    w = next;
    value = next_value;
    if (done) break;
  }
  LogisticRegression result{.intercept = w[0], .coefficients = {}};
  for (std::size_t c = 0; c + 1 < w.size(); ++c) {
    result.coefficients.push_back(design.scale[c] == 0 ? 0 : w[c + 1] / design.scale[c]);
    result.intercept -= result.coefficients[c] * design.mean[c];
  }
  return result;
}

}  // namespace sagitta::nn
