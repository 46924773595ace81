#include "nn/calibration.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/error.h"

namespace sagitta::nn {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

void require_pairs(std::span<const float> probabilities, std::span<const float> targets) {
  require(probabilities.size() == targets.size(), "calibration: {} probabilities for {} targets",
          probabilities.size(), targets.size());
}

}  // namespace

double CalibrationBin::mean_predicted() const { return rows == 0 ? kUndefined : predicted / rows; }
double CalibrationBin::observed() const { return rows == 0 ? kUndefined : positives / rows; }

std::size_t calibration_bin(double probability, std::size_t bins) {
  require(probability >= 0 && probability <= 1, "calibration: probability is {}, expected in [0, 1]",
          probability);
  const double upper = std::ceil(probability * static_cast<double>(bins));
  return upper < 1 ? 0 : static_cast<std::size_t>(upper) - 1;
}

std::vector<CalibrationBin> calibration_bins(std::span<const float> probabilities,
                                             std::span<const float> targets, std::size_t bins) {
  require_pairs(probabilities, targets);
  require(bins > 0, "calibration: bins is 0, expected at least 1");
  std::vector<CalibrationBin> result(bins);
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    CalibrationBin& bin = result[calibration_bin(probabilities[i], bins)];
    bin.rows += 1;
    bin.predicted += probabilities[i];
    bin.positives += targets[i] > 0.5F;
  }
  return result;
}

double expected_calibration_error(std::span<const CalibrationBin> bins) {
  double rows = 0, sum = 0;
  for (const CalibrationBin& bin : bins) {
    rows += bin.rows;
    sum += std::abs(bin.predicted - bin.positives);
  }
  return rows == 0 ? kUndefined : sum / rows;
}

double brier_score(std::span<const float> probabilities, std::span<const float> targets) {
  require_pairs(probabilities, targets);
  double sum = 0;
  for (std::size_t i = 0; i < probabilities.size(); ++i) {
    const double error = static_cast<double>(probabilities[i]) - targets[i];
    sum += error * error;
  }
  return probabilities.empty() ? kUndefined : sum / static_cast<double>(probabilities.size());
}

}  // namespace sagitta::nn
