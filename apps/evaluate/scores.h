// Scores: what an evaluation is about - the slices, and what was predicted for slices and studies. They come
// from models, or from the tables that an earlier evaluation wrote (apps/evaluate/score_files.h).
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "apps/evaluate/aggregation.h"
#include "apps/evaluate/ensemble.h"
#include "apps/evaluate/parts.h"

namespace sagitta::apps {

struct ScoringOptions {
  AggregationRule rule = AggregationRule::mean;
  std::string aggregator;  // file of a fitted one, instead of a rule; empty: none
  double penalty = 1;      // of the learned rule
  ReadingOptions reading;
};

// A part that was predicted, and how its slices became studies.
struct ScoredPart {
  EvaluationPart part;
  StudyAggregator aggregator;
};

struct Scores {
  std::string name;  // for tables: the models, or the folder of tables
  data::SliceSet slices;
  std::vector<std::string> labels;
  Predictions by_slice, by_study;  // rows in the order of slices.records, and of slices.studies()
  std::vector<ScoredPart> parts;   // none where the scores were read
};

// Runs the models of each part over its studies. Throws Error when the learned rule has no validation studies
// to be fitted to, or has seen a study that is evaluated.
Scores score_parts(const data::SliceSet& labeled, const std::vector<EvaluationPart>& parts, Backend& backend,
                   DType dtype, const ScoringOptions& options);

// The scores of these labels only, in this order; unchanged when one of them is not among them.
Scores with_labels(Scores scores, const std::vector<std::string>& labels);

// Indices of the labels in data::kLabelNames.
std::vector<std::size_t> label_indices(const std::vector<std::string>& labels);

}  // namespace sagitta::apps
