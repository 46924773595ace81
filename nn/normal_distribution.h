// The standard normal distribution, as tests and intervals need it.
#pragma once
#include <cmath>
#include <numbers>

namespace sagitta::nn {

// P(|Z| >= |z|): the two-sided p-value of a standard score.
inline double two_sided_tail(double z) { return std::erfc(std::abs(z) / std::numbers::sqrt2); }

// The z >= 0 for which P(|Z| <= z) = confidence: 1.96 for 0.95. Confidence in [0, 1).
inline double two_sided_quantile(double confidence) {
  double low = 0, high = 40;
  for (int i = 0; i < 100; ++i) {  // halving ends at neighboring doubles, and nothing here is hot
    const double middle = (low + high) / 2;
    (two_sided_tail(middle) > 1 - confidence ? low : high) = middle;
  }
  return high;
}

}  // namespace sagitta::nn
