// StudyParts: which patients a study model is trained, validated and tested on, and which slice model may
// speak of which of them. Features of patients that a slice model was trained on are better than any it will
// give again, so where there are several slice models every training study's features come from those that
// held it out (stacking: Wolpert 1992). Invariant: no slice model has seen a test study.
#pragma once
#include <string>
#include <vector>

#include "apps/engine/slices.h"

namespace sagitta::apps {

struct StudyParts {
  StudySplit split;
  // By slice model: the training studies whose features it gives. Every training study is there at least
  // once.
  std::vector<std::vector<std::string>> training;
};

// `splits` are those of the slice models. One: its own split, and its features throughout. Several: test and
// validation are what they all have there, the rest is for training. Throws Error, saying how to train the
// slice models, when a part is empty or a training study was held out by none of several.
StudyParts study_parts(const std::vector<StudySplit>& splits);

}  // namespace sagitta::apps
