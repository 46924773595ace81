// SliceBaselines: what the slice models reach without a study model, by every rule that makes a study of
// slices (apps/evaluate/aggregation.h). A study model is worth its trouble only where it beats the best of
// them.
#pragma once
#include "apps/evaluate/scores.h"

namespace sagitta::apps {

// A rule, fitted where it is learned, and its macro AUROC on the validation studies.
struct SliceBaseline {
  StudyAggregator aggregator;
  double validation_auroc = 0;
};

// All rules in the order of AggregationRule. The learned one is fitted to all validation studies, but its
// AUROC there comes from fits to four fifths of them, each judged on the rest.
std::vector<SliceBaseline> slice_baselines(const data::SliceSet& validation, const Predictions& by_slice);

// Index of the one with the highest validation AUROC.
std::size_t best_baseline(const std::vector<SliceBaseline>& baselines);

}  // namespace sagitta::apps
