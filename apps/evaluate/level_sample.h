// LevelSample: the rows of one level - slices or patients - ready to be measured under any weighting of
// patients. Every figure of an evaluation comes from measure(): with all weights 1 the figure itself, with a
// replicate's weights one replicate of it. So a figure and its interval cannot mean different things.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "apps/engine/predictions.h"
#include "nn/calibration.h"
#include "nn/cluster_totals.h"
#include "nn/ranking.h"

namespace sagitta::apps {

// Per label, in this order; docs/evaluation.md has the formulas.
enum class LabelMetric : std::size_t {
  prevalence,
  auroc,
  average_precision,
  precision,  // this and the next five: at the threshold
  recall,
  specificity,
  npv,
  f1,
  accuracy,
  brier,
  ece,
  sensitivity_at_specificity,  // the highest sensitivity where the specificity is at least the goal, and
                               // there
  specificity_at_specificity,
  ppv_at_specificity,
  npv_at_specificity,
  sensitivity_at_sensitivity,  // the highest specificity where the sensitivity is at least the goal, and
                               // there
  specificity_at_sensitivity,
  ppv_at_sensitivity,
  npv_at_sensitivity,
  count
};
inline constexpr auto kLabelMetricCount = static_cast<std::size_t>(LabelMetric::count);
const char* name_of(LabelMetric metric);

// Over all labels. Means are over the labels where the metric is defined in the sample itself; in a replicate
// that lacks one of those, the mean is undefined, because it would be a mean of something else.
enum class LevelMetric : std::size_t {
  macro_auroc,
  macro_average_precision,
  macro_f1,
  exact_match,    // share of rows whose every label is right at the threshold
  loss,           // mean binary cross-entropy
  rsna_log_loss,  // undefined where no exam losses are given
  count
};
inline constexpr auto kLevelMetricCount = static_cast<std::size_t>(LevelMetric::count);
const char* name_of(LevelMetric metric);

inline constexpr std::size_t kCalibrationBins = 10;

struct DecisionOptions {
  double threshold = 0.5;  // a probability >= threshold is a positive prediction
  nn::OperatingGoals goals;
};

class LevelSample {
 public:
  // clusters[row] is the patient of a row, below `cluster_count`. exam_losses: the competition's loss of each
  // row, or empty.
  LevelSample(const Predictions& predictions, std::span<const std::uint32_t> clusters,
              std::size_t cluster_count, const DecisionOptions& options,
              std::span<const double> exam_losses = {});

  std::size_t labels() const { return rankings_.size(); }
  std::size_t clusters() const { return cluster_count_; }
  std::size_t metrics() const { return labels() * kLabelMetricCount + kLevelMetricCount; }
  // Where measure() puts a metric.
  std::size_t index(std::size_t label, LabelMetric metric) const {
    return label * kLabelMetricCount + static_cast<std::size_t>(metric);
  }
  std::size_t index(LevelMetric metric) const {
    return labels() * kLabelMetricCount + static_cast<std::size_t>(metric);
  }

  // All metrics with cluster c counted weights[c] times; NaN where undefined.
  void measure(std::span<const std::uint32_t> weights, std::span<double> values) const;
  // With every cluster once.
  std::vector<double> measure() const;

  // By logit: what is at threshold t here is at probability sigmoid(t).
  const nn::Ranking& ranking(std::size_t label) const { return rankings_[label]; }
  nn::Confusion confusion(std::size_t label) const;
  std::vector<nn::CalibrationBin> calibration(std::size_t label) const;
  nn::RankedMetrics ranked(std::size_t label) const { return rankings_[label].measure(options_.goals); }

 private:
  void add_row(const Predictions& predictions, std::size_t row, std::uint32_t cluster);
  void measure_label(std::size_t label, const std::vector<double>& sums,
                     std::span<const std::uint32_t> weights, std::span<double> values) const;
  double mean_over_labels(LabelMetric metric, std::span<const double> values) const;

  DecisionOptions options_;
  std::size_t cluster_count_;
  std::vector<nn::Ranking> rankings_;
  nn::ClusterTotals totals_;
  bool has_exam_losses_;
  std::vector<double> point_;  // measure() of the sample itself
};

}  // namespace sagitta::apps
