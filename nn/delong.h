// DeLong's nonparametric variance of areas under ROC curves, and the comparison of two on the same rows.
// DeLong, DeLong and Clarke-Pearson 1988; computed from midranks in O(n log n) after Sun and Xu 2014, "Fast
// implementation of DeLong's algorithm". It takes rows as independent: right for one row per patient, too
// sure of itself for several slices of one (nn/bootstrap.h resamples patients instead).
#pragma once
#include <span>
#include <vector>

namespace sagitta::nn {

struct DelongAreas {
  std::vector<double> aurocs;      // one per model; NaN unless both classes occur
  std::vector<double> covariance;  // row-major [models, models]; NaN unless both classes have two rows
};
// Each model's scores for the same rows.
DelongAreas delong_areas(std::span<const std::vector<float>> models, std::span<const float> targets);

struct DelongInterval {
  double auroc = 0, standard_error = 0;
  double low = 0, high = 0;  // normal interval, cut to [0, 1]; of no width at an AUROC of exactly 0 or 1
};
DelongInterval delong_interval(const std::vector<float>& scores, std::span<const float> targets,
                               double confidence = 0.95);

struct DelongComparison {
  double difference = 0, standard_error = 0;  // AUROC of a - AUROC of b
  double low = 0, high = 0;                   // normal interval of the difference
  double z = 0, p = 0;                        // two-sided; NaN where the standard error is 0 or undefined
};
DelongComparison delong_comparison(const std::vector<float>& a, const std::vector<float>& b,
                                   std::span<const float> targets, double confidence = 0.95);

}  // namespace sagitta::nn
