// predictions.csv and patients.csv: every prediction of an evaluation, for other programs and later
// comparisons.
//   predictions.csv   study, slice, x_mm, then per label LABEL_truth and LABEL_probability; a row per slice
//   patients.csv      study, patient, slices, then the same; a row per study
#pragma once
#include <filesystem>

#include "apps/evaluate/scores.h"

namespace sagitta::apps {

// Probabilities are written so that reading gives the same doubles.
void write_scores(const std::filesystem::path& folder, const Scores& scores);

// The scores that an earlier evaluation left in `folder`, for exactly the given slices, in their order.
// Throws Error naming file and line when slices are missing or more, a truth differs, or a probability is not
// in [0, 1].
Scores read_scores(const std::filesystem::path& folder, const data::SliceSet& slices);

}  // namespace sagitta::apps
