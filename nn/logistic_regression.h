// Logistic regression with an L2 penalty, for a few features: p = sigmoid(intercept + coefficients . x).
// Fitted by iteratively reweighted least squares (Newton's method; McCullagh and Nelder 1989, section 4.4).
#pragma once
#include <span>
#include <vector>

namespace sagitta::nn {

struct LogisticRegression {
  double intercept = 0;
  std::vector<double> coefficients;  // of the features as they are

  double logit(std::span<const double> features) const;
};

// Minimizes sum of log losses + penalty / 2 * |coefficients of the standardized features|^2; the intercept is
// free. The same as StandardScaler and LogisticRegression(C = 1 / penalty) of scikit-learn. features is
// row-major [targets, features]; a feature that does not vary gets coefficient 0. Throws Error unless both
// classes occur (the intercept would grow without end), the penalty is above 0, and all features are finite.
LogisticRegression fit_logistic_regression(std::span<const double> features, std::span<const float> targets,
                                           double penalty);

}  // namespace sagitta::nn
