// A contact sheet: example slices with truth and prediction, as one picture to look at.
#pragma once
#include <string>
#include <vector>

#include "apps/engine/predictions.h"
#include "data/image.h"
#include "data/slice_set.h"

namespace sagitta::apps {

// Slices of one row's kind: the model's surest hits, its worst misses, its worst false alarms, and quiet
// negatives. `labels` are indices into data::kLabelNames.
data::Image contact_sheet(const data::SliceSet& slices, const Predictions& predictions,
                          const std::vector<std::size_t>& labels, double threshold);

}  // namespace sagitta::apps
