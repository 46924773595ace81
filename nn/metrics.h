// Classification metrics on host vectors: what training logs and `evaluate` prints.
// Scores are probabilities or any increasing function of them; targets are 0 or 1. A metric that is undefined
// for the given targets (one class only) is NaN, never a made-up number.
#pragma once
#include <span>
#include <vector>

#include "nn/confusion.h"

namespace sagitta::nn {

// Area under the ROC curve = P(score of a positive > score of a negative), ties count one half.
double auroc(std::span<const float> scores, std::span<const float> targets);
// Average precision as scikit-learn defines it: sum over thresholds of (recall step) * precision.
double average_precision(std::span<const float> scores, std::span<const float> targets);

// A score >= threshold is a positive prediction.
Confusion at_threshold(std::span<const float> scores, std::span<const float> targets, double threshold);

// Share of rows whose every label is predicted right; scores and targets are [rows, labels] row-major.
double exact_match(std::span<const float> scores, std::span<const float> targets, std::size_t labels,
                   double threshold);

// Mean of the values that are not NaN; NaN when there are none.
double mean_defined(std::span<const double> values);

// Column `label` of a row-major [rows, labels] table.
std::vector<float> column(std::span<const float> table, std::size_t labels, std::size_t label);

}  // namespace sagitta::nn
