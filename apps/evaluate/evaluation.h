// Evaluation: every figure of a set of scores, with intervals, and of a second one on the same patients
// beside it. From here come the tables for the terminal and evaluation.json, from which a report can draw
// everything.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "apps/evaluate/level_sample.h"
#include "apps/evaluate/scores.h"
#include "nn/bootstrap.h"
#include "nn/curves.h"
#include "nn/delong.h"

namespace sagitta::apps {

struct EvaluationOptions {
  DecisionOptions decision;
  nn::BootstrapOptions bootstrap;  // by patient; 0 replicates: no intervals
  double confidence = 0.95;
};

// A figure; NaN where it is undefined, and so its interval.
struct Estimate {
  double value = 0;
  nn::Interval interval;
};

// A decision at a probability.
struct Decision {
  double threshold = 0;  // of the probability; +infinity: nothing is predicted positive; NaN: undefined
  nn::Confusion counts;
};

struct LabelEvaluation {
  std::string label;
  int positives = 0;
  std::vector<Estimate> metrics;  // as LabelMetric
  Decision at_threshold, at_specificity, at_sensitivity;
  std::vector<nn::CalibrationBin> calibration;
  std::vector<nn::CurvePoint> roc, precision_recall;  // thinned; thresholds are probabilities
  nn::DelongInterval delong;  // of patients; NaN for slices, which are not independent

  const Estimate& operator[](LabelMetric metric) const { return metrics[static_cast<std::size_t>(metric)]; }
};

struct LevelEvaluation {
  std::string level;  // "slices" or "patients"
  std::size_t rows = 0;
  std::vector<LabelEvaluation> labels;
  std::vector<Estimate> metrics;  // as LevelMetric

  const Estimate& operator[](LevelMetric metric) const { return metrics[static_cast<std::size_t>(metric)]; }
};

// One figure of both, and their difference a - b on the same replicates.
struct Difference {
  std::string label;  // empty: over all labels
  std::string metric;
  double a = 0, b = 0;
  Estimate difference;
  double p = 0;  // two-sided, of the bootstrap
};

struct Comparison {
  std::string name;  // what is compared with
  std::vector<Difference> slices, patients;
  std::vector<nn::DelongComparison> delong;  // per label, of patients
};

struct Evaluation {
  EvaluationOptions options;
  std::string name;
  std::size_t patients_drawn = 0;  // clusters of the bootstrap
  LevelEvaluation slices, patients;
  double rsna_best_constant = 0;     // the competition's loss of the best constant on the same patients
  bool overall_was_derived = false;  // no patient_overall output: 1 - prod(1 - p_j) stands for it
  std::vector<Comparison> comparisons;
};

// Throws Error, naming `name`, unless both sets have the same slices in the same order.
void require_same_slices(const data::SliceSet& evaluated, const data::SliceSet& other,
                         const std::string& name);

// Throws Error when there is nothing to evaluate, or `others` are not about the same slices and labels.
Evaluation evaluate(const Scores& scores, const std::vector<Scores>& others,
                    const EvaluationOptions& options);

std::string format_evaluation(const Evaluation& evaluation);           // tables for the terminal
nlohmann::ordered_json evaluation_json(const Evaluation& evaluation);  // undefined values are null

}  // namespace sagitta::apps
