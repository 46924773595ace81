#include "nn/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tensor/error.h"

namespace sagitta::nn {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

void require_pairs(std::span<const float> scores, std::span<const float> targets) {
  require(scores.size() == targets.size(), "metrics: {} scores for {} targets", scores.size(),
          targets.size());
}

// Counts of positives and negatives that share one score, by descending score.
struct Group {
  double positives = 0;
  double negatives = 0;
};

std::vector<Group> groups_by_score(std::span<const float> scores, std::span<const float> targets) {
  require_pairs(scores, targets);
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  std::vector<Group> groups;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i == 0 || scores[order[i]] != scores[order[i - 1]]) groups.emplace_back();
    (targets[order[i]] > 0.5F ? groups.back().positives : groups.back().negatives) += 1;
  }
  return groups;
}

}  // namespace

double auroc(std::span<const float> scores, std::span<const float> targets) {
  double area = 0, positives = 0, negatives = 0;
  for (const Group& group : groups_by_score(scores, targets)) {
    area += group.negatives * (positives + group.positives / 2);
    positives += group.positives;
    negatives += group.negatives;
  }
  return positives == 0 || negatives == 0 ? kUndefined : area / (positives * negatives);
}

double average_precision(std::span<const float> scores, std::span<const float> targets) {
  double sum = 0, positives = 0, predicted = 0;
  for (const Group& group : groups_by_score(scores, targets)) {
    positives += group.positives;
    predicted += group.positives + group.negatives;
    sum += group.positives * positives / predicted;
  }
  return positives == 0 ? kUndefined : sum / positives;
}

ThresholdMetrics at_threshold(std::span<const float> scores, std::span<const float> targets,
                              double threshold) {
  require_pairs(scores, targets);
  double true_positives = 0, false_positives = 0, false_negatives = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const bool predicted = scores[i] >= threshold, actual = targets[i] > 0.5F;
    true_positives += predicted && actual;
    false_positives += predicted && !actual;
    false_negatives += !predicted && actual;
  }
  const auto ratio = [](double part, double whole) { return whole == 0 ? kUndefined : part / whole; };
  return {.precision = ratio(true_positives, true_positives + false_positives),
          .recall = ratio(true_positives, true_positives + false_negatives),
          .f1 = ratio(2 * true_positives, 2 * true_positives + false_positives + false_negatives)};
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
