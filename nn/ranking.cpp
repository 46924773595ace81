#include "nn/ranking.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "tensor/error.h"

namespace sagitta::nn {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();
// (1 - 0.9) * 10 is below 1 in floating point; one row must not be lost to that.
constexpr double kRounding = 1e-9;

}  // namespace

Ranking::Ranking(std::span<const float> scores, std::span<const float> targets,
                 std::span<const std::uint32_t> clusters) {
  require(scores.size() == targets.size(), "ranking: {} scores for {} targets", scores.size(),
          targets.size());
  require(clusters.empty() || clusters.size() == scores.size(), "ranking: {} clusters for {} scores",
          clusters.size(), scores.size());
  require(std::none_of(scores.begin(), scores.end(), [](float s) { return std::isnan(s); }),
          "ranking: a score is NaN, expected numbers");
  const std::uint32_t last = clusters.empty() ? 0 : *std::max_element(clusters.begin(), clusters.end());
  require(last < (1U << 30), "ranking: cluster {}, expected below 2^30", last);
  in_cluster_.resize(last + 1);
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  // By row where scores are equal, so that the order is one and the same on every machine.
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
  });
  entries_.reserve(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::size_t row = order[i];
    const bool positive = targets[row] > 0.5F;
    const bool ends = i + 1 == order.size() || scores[order[i + 1]] != scores[row];
    const std::uint32_t cluster = clusters.empty() ? 0 : clusters[row];
    entries_.push_back({.cluster = cluster, .positive = positive, .ends_group = ends});
    if (ends) thresholds_.push_back(scores[row]);
    ++(positive ? in_cluster_[cluster].positives : in_cluster_[cluster].negatives);
    (positive ? positives_ : negatives_) += 1;
  }
}

template <class Visit>
void Ranking::walk(std::span<const std::uint32_t> weights, Visit&& visit) const {
  std::size_t group = 0;
  std::uint64_t counts[2] = {0, 0};  // negatives, positives of the group
  for (const Entry& entry : entries_) {
    counts[entry.positive] += weights[entry.cluster];
    if (!entry.ends_group) continue;
    visit(group++, static_cast<double>(counts[1]), static_cast<double>(counts[0]));
    counts[0] = counts[1] = 0;
  }
}

RankedMetrics Ranking::measure(OperatingGoals goals) const {
  return measure(std::vector<std::uint32_t>(in_cluster_.size(), 1), goals);
}

RankedMetrics Ranking::measure(std::span<const std::uint32_t> weights, OperatingGoals goals) const {
  require(weights.size() >= in_cluster_.size(), "ranking: {} weights for {} clusters", weights.size(),
          in_cluster_.size());
  double positives = 0, negatives = 0;
  for (std::size_t c = 0; c < in_cluster_.size(); ++c) {
    positives += static_cast<double>(weights[c]) * in_cluster_[c].positives;
    negatives += static_cast<double>(weights[c]) * in_cluster_[c].negatives;
  }
  const double allowed = (1 - goals.specificity + kRounding) * negatives;
  const double needed = (goals.sensitivity - kRounding) * positives;
  struct Reached {
    std::ptrdiff_t group = -1;  // before the first one: nothing is predicted positive
    double true_positives = 0, false_positives = 0;
  } specific, sensitive;
  double true_positives = 0, false_positives = 0, area = 0, precisions = 0;
  walk(weights, [&](std::size_t group, double more_positives, double more_negatives) {
    area += more_negatives * (true_positives + more_positives / 2);
    const bool was_short = true_positives < needed;
    true_positives += more_positives;
    false_positives += more_negatives;
    if (more_positives > 0)
      precisions += more_positives * true_positives / (true_positives + false_positives);
    const Reached here{static_cast<std::ptrdiff_t>(group), true_positives, false_positives};
    if (false_positives <= allowed) specific = here;
    if (was_short) sensitive = here;
  });
  const auto point = [&](const Reached& reached, bool defined) -> OperatingPoint {
    if (!defined) return {.threshold = kUndefined, .counts = {}};
    return {.threshold = reached.group < 0 ? std::numeric_limits<double>::infinity()
                                           : thresholds_[static_cast<std::size_t>(reached.group)],
            .counts = {.true_positives = reached.true_positives,
                       .false_positives = reached.false_positives,
                       .true_negatives = negatives - reached.false_positives,
                       .false_negatives = positives - reached.true_positives}};
  };
  return {.auroc = positives == 0 || negatives == 0 ? kUndefined : area / (positives * negatives),
          .average_precision = positives == 0 ? kUndefined : precisions / positives,
          .at_specificity = point(specific, negatives > 0),
          .at_sensitivity = point(sensitive, positives > 0)};
}

std::vector<RankingStep> Ranking::steps() const {
  std::vector<RankingStep> steps;
  steps.reserve(thresholds_.size());
  double true_positives = 0, false_positives = 0;
  walk(std::vector<std::uint32_t>(in_cluster_.size(), 1),
       [&](std::size_t group, double positives, double negatives) {
         steps.push_back({thresholds_[group], true_positives += positives, false_positives += negatives});
       });
  return steps;
}

}  // namespace sagitta::nn
