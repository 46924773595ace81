// How often each label is positive among the slices that are trained on, and what follows from it.
#pragma once
#include <string>
#include <vector>

#include "data/slice_set.h"

namespace sagitta::apps {

// Negatives per positive of each label (indices into data::kLabelNames), which makes both sides weigh the
// same in the loss; 1 for a label that has one side only.
std::vector<float> balanced_weights(const data::SliceSet& slices, const std::vector<std::size_t>& labels);

// The names of the labels that no slice is positive for: they cannot be learned.
std::vector<std::string> labels_without_positives(const data::SliceSet& slices,
                                                  const std::vector<std::size_t>& labels);

}  // namespace sagitta::apps
