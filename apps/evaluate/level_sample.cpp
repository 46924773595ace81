#include "apps/evaluate/level_sample.h"

#include <cmath>
#include <limits>

#include "nn/metrics.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();

constexpr std::array<const char*, kLabelMetricCount> kLabelMetricNames{
    // clang-format off
    "prevalence", "auroc", "average_precision", "precision", "recall", "specificity", "npv", "f1", "accuracy",
    "brier", "ece",
    "sensitivity_at_specificity", "specificity_at_specificity", "ppv_at_specificity", "npv_at_specificity",
    "sensitivity_at_sensitivity", "specificity_at_sensitivity", "ppv_at_sensitivity", "npv_at_sensitivity"
    // clang-format on
};
constexpr std::array<const char*, kLevelMetricCount> kLevelMetricNames{
    "macro_auroc", "macro_average_precision", "macro_f1", "exact_match", "loss", "rsna_log_loss"};

// Sums over rows. First those of the level, then a block per label.
enum LevelSum : std::size_t { kRows, kAllRight, kLoss, kExamLoss, kLevelSums };
enum LabelSum : std::size_t {
  kTruePositives,
  kFalsePositives,
  kTrueNegatives,
  kFalseNegatives,
  kSquaredError,
  kBins,  // three per bin: rows, predicted, positives
  kLabelSums = kBins + 3 * kCalibrationBins
};

std::size_t place(std::size_t label, std::size_t sum) { return kLevelSums + label * kLabelSums + sum; }

nn::Confusion confusion_of(std::span<const double> sums) {
  return {.true_positives = sums[kTruePositives],
          .false_positives = sums[kFalsePositives],
          .true_negatives = sums[kTrueNegatives],
          .false_negatives = sums[kFalseNegatives]};
}

std::vector<nn::CalibrationBin> bins_of(std::span<const double> sums) {
  std::vector<nn::CalibrationBin> bins;
  for (std::size_t b = 0; b < kCalibrationBins; ++b) {
    const std::size_t at = kBins + 3 * b;
    bins.push_back({.rows = sums[at], .predicted = sums[at + 1], .positives = sums[at + 2]});
  }
  return bins;
}

double cross_entropy(double logit, bool positive) {
  const double x = positive ? -logit : logit;
  return std::log1p(std::exp(-std::abs(x))) + std::max(x, 0.0);
}

}  // namespace

const char* name_of(LabelMetric metric) { return kLabelMetricNames[static_cast<std::size_t>(metric)]; }
const char* name_of(LevelMetric metric) { return kLevelMetricNames[static_cast<std::size_t>(metric)]; }

LevelSample::LevelSample(const Predictions& predictions, std::span<const std::uint32_t> clusters,
                         std::size_t cluster_count, const DecisionOptions& options,
                         std::span<const double> exam_losses)
    : options_(options),
      cluster_count_(cluster_count),
      totals_(cluster_count, place(predictions.labels, 0)),
      has_exam_losses_(!exam_losses.empty()) {
  const std::size_t rows = predictions.rows();
  require(rows > 0, "evaluate: no labeled slices to evaluate on");
  require(clusters.size() == rows && (exam_losses.empty() || exam_losses.size() == rows),
          "evaluate: {} clusters and {} exam losses for {} rows", clusters.size(), exam_losses.size(), rows);
  for (std::size_t label = 0; label < predictions.labels; ++label)
    rankings_.emplace_back(nn::column(predictions.logits, predictions.labels, label),
                           nn::column(predictions.targets, predictions.labels, label), clusters);
  for (std::size_t row = 0; row < rows; ++row) {
    add_row(predictions, row, clusters[row]);
    if (has_exam_losses_) totals_.at(clusters[row], kExamLoss) += exam_losses[row];
  }
  point_ = measure();
}

void LevelSample::add_row(const Predictions& predictions, std::size_t row, std::uint32_t cluster) {
  bool all_right = true;
  for (std::size_t label = 0; label < predictions.labels; ++label) {
    const std::size_t i = row * predictions.labels + label;
    const double logit = predictions.logits[i], p = 1 / (1 + std::exp(-logit));
    const bool actual = predictions.targets[i] > 0.5F, predicted = p >= options_.threshold;
    all_right &= predicted == actual;
    const LabelSum count =
        predicted ? (actual ? kTruePositives : kFalsePositives) : (actual ? kFalseNegatives : kTrueNegatives);
    totals_.at(cluster, place(label, count)) += 1;
    totals_.at(cluster, place(label, kSquaredError)) += (p - actual) * (p - actual);
    const std::size_t bin = kBins + 3 * nn::calibration_bin(p, kCalibrationBins);
    totals_.at(cluster, place(label, bin)) += 1;
    totals_.at(cluster, place(label, bin + 1)) += p;
    totals_.at(cluster, place(label, bin + 2)) += actual;
    totals_.at(cluster, kLoss) += cross_entropy(logit, actual) / static_cast<double>(predictions.labels);
  }
  totals_.at(cluster, kRows) += 1;
  totals_.at(cluster, kAllRight) += all_right;
}

void LevelSample::measure_label(std::size_t label, const std::vector<double>& sums,
                                std::span<const std::uint32_t> weights, std::span<double> values) const {
  const std::span<const double> mine = std::span(sums).subspan(place(label, 0), kLabelSums);
  const double rows = sums[kRows];
  const nn::Confusion counts = confusion_of(mine);
  const nn::RankedMetrics ranked = rankings_[label].measure(weights, options_.goals);
  const auto set = [&](LabelMetric metric, double value) { values[index(label, metric)] = value; };
  set(LabelMetric::prevalence, (counts.true_positives + counts.false_negatives) / rows);
  set(LabelMetric::auroc, ranked.auroc);
  set(LabelMetric::average_precision, ranked.average_precision);
  set(LabelMetric::precision, counts.ppv());
  set(LabelMetric::recall, counts.sensitivity());
  set(LabelMetric::specificity, counts.specificity());
  set(LabelMetric::npv, counts.npv());
  set(LabelMetric::f1, counts.f1());
  set(LabelMetric::accuracy, (counts.true_positives + counts.true_negatives) / rows);
  set(LabelMetric::brier, mine[kSquaredError] / rows);
  set(LabelMetric::ece, nn::expected_calibration_error(bins_of(mine)));
  const auto set_point = [&](LabelMetric first, const nn::Confusion& at) {
    const std::size_t begin = index(label, first);
    values[begin] = at.sensitivity();
    values[begin + 1] = at.specificity();
    values[begin + 2] = at.ppv();
    values[begin + 3] = at.npv();
  };
  set_point(LabelMetric::sensitivity_at_specificity, ranked.at_specificity.counts);
  set_point(LabelMetric::sensitivity_at_sensitivity, ranked.at_sensitivity.counts);
}

double LevelSample::mean_over_labels(LabelMetric metric, std::span<const double> values) const {
  double sum = 0, count = 0;
  for (std::size_t label = 0; label < labels(); ++label) {
    const std::size_t i = index(label, metric);
    if (std::isnan(point_.empty() ? values[i] : point_[i])) continue;
    sum += values[i];  // NaN where the replicate lacks the label
    count += 1;
  }
  return count == 0 ? kUndefined : sum / count;
}

void LevelSample::measure(std::span<const std::uint32_t> weights, std::span<double> values) const {
  require(values.size() == metrics(), "evaluate: room for {} of {} metrics", values.size(), metrics());
  const std::vector<double> sums = totals_.weighted(weights);
  for (std::size_t label = 0; label < labels(); ++label) measure_label(label, sums, weights, values);
  const auto set = [&](LevelMetric metric, double value) { values[index(metric)] = value; };
  set(LevelMetric::macro_auroc, mean_over_labels(LabelMetric::auroc, values));
  set(LevelMetric::macro_average_precision, mean_over_labels(LabelMetric::average_precision, values));
  set(LevelMetric::macro_f1, mean_over_labels(LabelMetric::f1, values));
  set(LevelMetric::exact_match, sums[kAllRight] / sums[kRows]);
  set(LevelMetric::loss, sums[kLoss] / sums[kRows]);
  set(LevelMetric::rsna_log_loss, has_exam_losses_ ? sums[kExamLoss] / sums[kRows] : kUndefined);
}

std::vector<double> LevelSample::measure() const {
  std::vector<double> values(metrics());
  measure(std::vector<std::uint32_t>(cluster_count_, 1), values);
  return values;
}

nn::Confusion LevelSample::confusion(std::size_t label) const {
  const std::vector<double> sums = totals_.weighted(std::vector<std::uint32_t>(cluster_count_, 1));
  return confusion_of(std::span(sums).subspan(place(label, 0), kLabelSums));
}

std::vector<nn::CalibrationBin> LevelSample::calibration(std::size_t label) const {
  const std::vector<double> sums = totals_.weighted(std::vector<std::uint32_t>(cluster_count_, 1));
  return bins_of(std::span(sums).subspan(place(label, 0), kLabelSums));
}

}  // namespace sagitta::apps
