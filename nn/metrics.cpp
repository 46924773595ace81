#include "nn/metrics.h"

#include <cmath>
#include <limits>

#include "nn/ranking.h"
#include "tensor/error.h"

namespace sagitta::nn {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

void require_pairs(std::span<const float> scores, std::span<const float> targets) {
  require(scores.size() == targets.size(), "metrics: {} scores for {} targets", scores.size(),
          targets.size());
}

}  // namespace

double auroc(std::span<const float> scores, std::span<const float> targets) {
  return Ranking(scores, targets).measure().auroc;
}

double average_precision(std::span<const float> scores, std::span<const float> targets) {
  return Ranking(scores, targets).measure().average_precision;
}

Confusion at_threshold(std::span<const float> scores, std::span<const float> targets, double threshold) {
  require_pairs(scores, targets);
  Confusion counts;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const bool predicted = scores[i] >= threshold, actual = targets[i] > 0.5F;
    counts.true_positives += predicted && actual;
    counts.false_positives += predicted && !actual;
    counts.true_negatives += !predicted && !actual;
    counts.false_negatives += !predicted && actual;
  }
  return counts;
}

double exact_match(std::span<const float> scores, std::span<const float> targets, std::size_t labels,
                   double threshold) {
  require_pairs(scores, targets);
  require(labels > 0 && scores.size() % labels == 0, "metrics: {} scores are not rows of {} labels",
          scores.size(), labels);
  const std::size_t rows = scores.size() / labels;
  if (rows == 0) return kUndefined;
  std::size_t right = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    bool all = true;
    for (std::size_t i = row * labels; i < (row + 1) * labels; ++i)
      all &= (scores[i] >= threshold) == (targets[i] > 0.5F);
    right += all;
  }
  return static_cast<double>(right) / static_cast<double>(rows);
}

double mean_defined(std::span<const double> values) {
  double sum = 0, count = 0;
  for (double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    count += 1;
  }
  return count == 0 ? kUndefined : sum / count;
}

std::vector<float> column(std::span<const float> table, std::size_t labels, std::size_t label) {
  std::vector<float> result;
  for (std::size_t i = label; i < table.size(); i += labels) result.push_back(table[i]);
  return result;
}

}  // namespace sagitta::nn
