#include "data/rsna_metric.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sagitta::data {
namespace {

double weight(std::size_t label, bool positive) { return (label == 0 ? 7.0 : 1.0) * (positive ? 2 : 1); }

}  // namespace

std::array<double, 8> exam_weights(const std::array<float, 8>& truth) {
  std::array<double, 8> weights{};
  double sum = 0;
  for (std::size_t j = 0; j < weights.size(); ++j) sum += weights[j] = weight(j, truth[j] > 0.5F);
  for (double& w : weights) w /= sum;
  return weights;
}

double rsna_log_loss(std::span<const ExamPrediction> exams) {
  if (exams.empty()) return std::numeric_limits<double>::quiet_NaN();
  double sum = 0;
  for (const ExamPrediction& exam : exams) {
    const std::array<double, 8> weights = exam_weights(exam.truth);
    for (std::size_t j = 0; j < weights.size(); ++j) {
      const double p = std::clamp(static_cast<double>(exam.probability[j]), 1e-15, 1 - 1e-15);
      sum -= weights[j] * std::log(exam.truth[j] > 0.5F ? p : 1 - p);
    }
  }
  return sum / static_cast<double>(exams.size());
}

std::array<float, 8> best_constant(std::span<const ExamPrediction> exams) {
  std::array<double, 8> positive{}, total{};
  for (const ExamPrediction& exam : exams) {
    const std::array<double, 8> weights = exam_weights(exam.truth);
    for (std::size_t j = 0; j < weights.size(); ++j) {
      total[j] += weights[j];
      if (exam.truth[j] > 0.5F) positive[j] += weights[j];
    }
  }
  std::array<float, 8> constant{};
  for (std::size_t j = 0; j < constant.size(); ++j)
    constant[j] = total[j] > 0 ? static_cast<float>(positive[j] / total[j]) : 0.5F;
  return constant;
}

}  // namespace sagitta::data
