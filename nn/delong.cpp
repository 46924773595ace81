#include "nn/delong.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "nn/normal_distribution.h"
#include "tensor/error.h"

namespace sagitta::nn {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

// Rank of each value from 1; equal values share the mean of their ranks.
std::vector<double> midranks(const std::vector<float>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (std::size_t begin = 0; begin < order.size();) {
    std::size_t end = begin;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (std::size_t i = begin; i < end; ++i) ranks[order[i]] = static_cast<double>(begin + end + 1) / 2;
    begin = end;
  }
  return ranks;
}

// For each positive the share of negatives below it, for each negative the share of positives above it; equal
// scores count one half. DeLong's "structural components" V10 and V01: the mean of either is the AUROC.
struct Placements {
  std::vector<double> positives, negatives;
};

Placements placements(const std::vector<float>& scores, std::span<const float> targets) {
  std::vector<float> positive, negative;
  for (std::size_t i = 0; i < scores.size(); ++i)
    (targets[i] > 0.5F ? positive : negative).push_back(scores[i]);
  std::vector<float> all = positive;
  all.insert(all.end(), negative.begin(), negative.end());
  const std::vector<double> of_all = midranks(all), of_positive = midranks(positive),
                            of_negative = midranks(negative);
  const auto m = static_cast<double>(positive.size()), n = static_cast<double>(negative.size());
  Placements result;
  for (std::size_t i = 0; i < positive.size(); ++i)
    result.positives.push_back((of_all[i] - of_positive[i]) / n);
  for (std::size_t j = 0; j < negative.size(); ++j)
    result.negatives.push_back(1 - (of_all[positive.size() + j] - of_negative[j]) / m);
  return result;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// Sample covariance; NaN for fewer than two values.
double covariance(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() < 2) return kUndefined;
  const double mean_a = mean(a), mean_b = mean(b);
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (a[i] - mean_a) * (b[i] - mean_b);
  return sum / static_cast<double>(a.size() - 1);
}

}  // namespace

DelongAreas delong_areas(std::span<const std::vector<float>> models, std::span<const float> targets) {
  const std::size_t count = models.size();
  std::vector<Placements> placed;
  for (const std::vector<float>& scores : models) {
    require(scores.size() == targets.size(), "delong: {} scores for {} targets", scores.size(),
            targets.size());
    require(std::none_of(scores.begin(), scores.end(), [](float s) { return std::isnan(s); }),
            "delong: a score is NaN, expected numbers");
    placed.push_back(placements(scores, targets));
  }
  DelongAreas result{.aurocs = {}, .covariance = std::vector<double>(count * count)};
  for (std::size_t i = 0; i < count; ++i) {
    const Placements& one = placed[i];
    result.aurocs.push_back(one.negatives.empty() ? kUndefined : mean(one.positives));
    for (std::size_t j = 0; j < count; ++j)
      result.covariance[i * count + j] =
          covariance(one.positives, placed[j].positives) / static_cast<double>(one.positives.size()) +
          covariance(one.negatives, placed[j].negatives) / static_cast<double>(one.negatives.size());
  }
  return result;
}

DelongInterval delong_interval(const std::vector<float>& scores, std::span<const float> targets,
                               double confidence) {
  const DelongAreas areas = delong_areas({&scores, 1}, targets);
  const double auroc = areas.aurocs[0], error = std::sqrt(areas.covariance[0]);
  const double reach = two_sided_quantile(confidence) * error;
  // Written so that NaN stays NaN.
  return {.auroc = auroc,
          .standard_error = error,
          .low = auroc - reach < 0 ? 0 : auroc - reach,
          .high = auroc + reach > 1 ? 1 : auroc + reach};
}

DelongComparison delong_comparison(const std::vector<float>& a, const std::vector<float>& b,
                                   std::span<const float> targets, double confidence) {
  const std::vector<float> models[] = {a, b};
  const DelongAreas areas = delong_areas(models, targets);
  const double difference = areas.aurocs[0] - areas.aurocs[1];
  const double variance = areas.covariance[0] + areas.covariance[3] - 2 * areas.covariance[1];
  // Equal models differ by rounding only.
  const double error = variance < 1e-15 ? 0 : std::sqrt(variance);
  const double reach = two_sided_quantile(confidence) * error;
  const double z = error == 0 ? kUndefined : difference / error;
  return {.difference = difference,
          .standard_error = error,
          .low = difference - reach,
          .high = difference + reach,
          .z = z,
          .p = std::isnan(z) ? kUndefined : two_sided_tail(z)};
}

}  // namespace sagitta::nn
