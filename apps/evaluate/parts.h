// Which models predict which studies.
// A part of a split is predicted by all models together, as an ensemble; out of fold, each study by those
// models whose own split held it out. Invariant: every evaluated study is in exactly one part, and unless the
// split is "all" or "train" no model of its part was trained on it.
#pragma once
#include <string>
#include <vector>

#include "data/slice_set.h"

namespace sagitta::apps {

inline constexpr const char* kOutOfFold = "out-of-fold";

struct EvaluationPart {
  std::vector<std::string> models;   // directories
  std::vector<std::string> studies;  // evaluated, in the order of the slice set
  std::vector<std::string> fitting;  // held out for validation by all these models; may be empty
};

// `split` is train, validation, test or all, which make one part, or out-of-fold. `labeled` holds labeled
// slices only. Throws Error, naming the model, when a split is missing, the models' splits differ, or a study
// is held out by no model.
std::vector<EvaluationPart> evaluation_parts(const data::SliceSet& labeled,
                                             const std::vector<std::string>& models,
                                             const std::string& split);

// The slices of all parts, in the order of `labeled`.
data::SliceSet evaluated_slices(const data::SliceSet& labeled, const std::vector<EvaluationPart>& parts);

}  // namespace sagitta::apps
