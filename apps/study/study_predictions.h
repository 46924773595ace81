// From the features of slices to predictions, of the slices and of their studies: what training validates,
// what an evaluation judges and what `predict` writes, so that they are the same numbers.
#pragma once
#include "apps/engine/predictions.h"
#include "apps/study/study_data.h"
#include "models/study_model.h"

namespace sagitta::apps {

// One row per slice with the eight labels of a study: the mean probability over the slice models. `features`
// are of exactly these slices.
Predictions slice_predictions(const data::SliceSet& slices, const std::vector<SliceFeatures>& features);

// The model's logits for every study, a row per group of the data: the mean over the study's slice models. In
// evaluation mode; leaves the model in the mode it was in.
Predictions study_predictions(models::StudyModel& model, const nn::Context& context, const StudyData& data);

}  // namespace sagitta::apps
