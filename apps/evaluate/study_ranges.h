// Which rows of a slice set belong to one study: slices of a study are consecutive.
#pragma once
#include <cstddef>
#include <vector>

#include "apps/engine/predictions.h"
#include "data/slice_set.h"

namespace sagitta::apps {

struct StudyRange {
  std::size_t begin = 0, end = 0;  // records [begin, end)
};

// In the order of slices.studies().
inline std::vector<StudyRange> study_ranges(const data::SliceSet& slices) {
  std::vector<StudyRange> ranges;
  for (std::size_t i = 0; i < slices.records.size(); ++i) {
    if (i == 0 || slices.records[i].study != slices.records[i - 1].study) ranges.push_back({i, i});
    ranges.back().end = i + 1;
  }
  return ranges;
}

// The logits of one label over the slices of a study.
inline std::vector<float> label_logits(const Predictions& predictions, const StudyRange& study,
                                       std::size_t label) {
  std::vector<float> logits;
  for (std::size_t row = study.begin; row < study.end; ++row)
    logits.push_back(predictions.logits[row * predictions.labels + label]);
  return logits;
}

}  // namespace sagitta::apps
