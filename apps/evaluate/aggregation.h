// From the slices of a study to one prediction for the study.
// Three fixed rules and a learned one; StudyAggregator is what `evaluate` fits and judges, and what any other
// program loads and applies to the slices of a new study. Everything is in logits, which keep what
// probabilities near 0 and 1 lose.
#pragma once
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "apps/engine/predictions.h"
#include "data/slice_set.h"
#include "nn/logistic_regression.h"

namespace sagitta::apps {

// Of the probabilities p of a study's slices: mean p; max p; 1 - prod(1 - p), as if each slice saw a fracture
// of its own; or a logistic regression, per label, on the mean logit, the highest, and the mean of the three
// highest.
enum class AggregationRule { mean, max, noisy_or, learned };
AggregationRule parse_aggregation_rule(const std::string& name);  // "mean", "max", "noisy-or", "learned"
std::string name_of(AggregationRule rule);

class StudyAggregator {
 public:
  // A fixed rule for all labels; Error for `learned`, which is fitted or loaded.
  StudyAggregator(AggregationRule rule, std::vector<std::string> labels);
  // The learned rule, fitted to the studies of `slices`, of which the predictor must not have been trained. A
  // label with fewer than two positive or two negative studies cannot be fitted and keeps the mean. `penalty`
  // is that of nn::fit_logistic_regression.
  static StudyAggregator fit(const data::SliceSet& slices, const Predictions& predictions,
                             std::vector<std::string> labels, double penalty = 1);
  // What save() wrote. Throws Error naming the file.
  static StudyAggregator load(const std::filesystem::path& file);
  void save(const std::filesystem::path& file) const;
  nlohmann::ordered_json json() const;

  // One study: logits row-major [slices, labels], at least one slice, to logits [labels].
  std::vector<float> apply(std::span<const float> logits) const;

  const std::vector<std::string>& labels() const { return labels_; }
  AggregationRule rule() const { return rule_; }
  // Labels that the learned rule had to leave to the mean.
  std::vector<std::string> unfitted_labels() const;
  // Studies that the learned rule has seen: it cannot be judged on them.
  const std::vector<std::string>& fitted_studies() const { return fitted_studies_; }

 private:
  AggregationRule rule_;
  std::vector<std::string> labels_;
  std::vector<std::optional<nn::LogisticRegression>> models_;  // per label, of the learned rule
  std::vector<std::string> fitted_studies_;
  double penalty_ = 0;
};

// One row per study, in the order of slices.studies().
Predictions aggregate(const data::SliceSet& slices, const Predictions& predictions,
                      const StudyAggregator& aggregator);

// 1 / (1 + exp(-logit))
double probability_of(float logit);

// 1 - prod(1 - p): that any of several things is there, as if they were independent. What stands for
// patient_overall where a model does not predict it.
double any_of(std::span<const double> probabilities);

// log(p / (1 - p)) of p = 1 - prod(1 - p_i).
float noisy_or(std::span<const float> logits);
// log(p / (1 - p)) of p = mean of the probabilities of these logits, exact for logits far out.
double logit_of_mean(std::span<const float> logits);

}  // namespace sagitta::apps
