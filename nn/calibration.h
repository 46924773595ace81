// Calibration: whether of all rows that were given probability p a share p is positive.
// Bins are of equal width on [0, 1], each with its upper edge, as in sklearn.calibration.calibration_curve.
#pragma once
#include <cstddef>
#include <span>
#include <vector>

namespace sagitta::nn {

// What falls into one bin; sums, so that weighted rows can be added.
struct CalibrationBin {
  double rows = 0, predicted = 0, positives = 0;  // number, sum of probabilities, number of positives

  double mean_predicted() const;  // NaN when empty
  double observed() const;        // share of positives; NaN when empty
};

// The bin of a probability.
std::size_t calibration_bin(double probability, std::size_t bins);
std::vector<CalibrationBin> calibration_bins(std::span<const float> probabilities,
                                             std::span<const float> targets, std::size_t bins);

// Expected calibration error (Naeini et al. 2015): mean over rows of |mean predicted - observed| of their
// bin. NaN without rows.
double expected_calibration_error(std::span<const CalibrationBin> bins);

// Brier 1950: mean of (probability - target)^2. NaN without rows.
double brier_score(std::span<const float> probabilities, std::span<const float> targets);

}  // namespace sagitta::nn
