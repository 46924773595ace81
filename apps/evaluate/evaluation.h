// From predictions to the numbers that `evaluate` prints: per label and overall, for slices and for patients.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "apps/engine/predictions.h"
#include "data/slice_set.h"

namespace sagitta::apps {

// How the slices of a study become one prediction.
enum class Aggregation { mean, max };
Aggregation parse_aggregation(const std::string& name);

struct LabelMetrics {
  std::string label;
  int positives = 0;
  double auroc = 0, average_precision = 0;  // NaN where only one class occurs
  double precision = 0, recall = 0, f1 = 0;
};

struct LevelMetrics {
  std::string level;  // "slices" or "patients"
  std::size_t rows = 0;
  std::vector<LabelMetrics> labels;
  double macro_auroc = 0, macro_average_precision = 0, macro_f1 = 0, exact_match = 0;
};

struct Evaluation {
  LevelMetrics slices, patients;
  double threshold = 0.5;
  double loss = 0;  // mean binary cross-entropy of the slices
  // The competition's metric per patient, and what the best constant reaches on the same patients.
  double rsna_log_loss = 0, rsna_best_constant = 0;
  bool overall_was_derived =
      false;  // the model has no patient_overall output: 1 - prod(1 - p_j) stands for it
};

// `predictions` rows belong to slices.records; its columns to `labels` (indices into data::kLabelNames).
Evaluation evaluate(const data::SliceSet& slices, const Predictions& predictions,
                    const std::vector<std::size_t>& labels, Aggregation aggregation, double threshold);

// Probabilities and truth, row-major [rows, labels].
struct ScoreTable {
  std::size_t labels = 0;
  std::vector<float> scores, targets;
};

// One row per study, in the order of slices.studies().
ScoreTable aggregate(const data::SliceSet& slices, const Predictions& predictions, Aggregation aggregation);

std::string format_evaluation(const Evaluation& evaluation);           // tables for the terminal
nlohmann::ordered_json evaluation_json(const Evaluation& evaluation);  // undefined values are null

}  // namespace sagitta::apps
