// Studies as exams of the RSNA 2022 competition, which wants all eight labels.
#pragma once
#include <vector>

#include "apps/evaluate/scores.h"

namespace sagitta::apps {

struct Exams {
  std::vector<double> losses;  // the competition's loss of each study; their mean is the competition's metric
  double best_constant_loss = 0;  // of the best constant probabilities on the same studies
  bool overall_was_derived = false;
};

// What the model does not predict is derived from what it does - patient_overall is 1 - prod(1 - p_j) - or
// left at the best constant.
Exams exams_of(const Scores& scores);

}  // namespace sagitta::apps
