// Made-up scores: studies of a few slices with logits from counter-based random numbers, without any model.
#pragma once
#include <string>
#include <vector>

#include "apps/evaluate/scores.h"
#include "tensor/random.h"

namespace sagitta::testing {

using namespace sagitta::apps;

// `studies` studies of 1 to 4 slices; label l is positive in every (l + 2)nd study and moves its slices'
// logits by `strength`.
inline Scores make_scores(int studies, const std::vector<std::string>& labels, std::uint32_t seed,
                          double strength = 1.5) {
  const random::Key key{seed, 3, 0};
  std::uint64_t index = 0;
  const std::vector<std::size_t> columns = label_indices(labels);
  Scores scores{.name = "model " + std::to_string(seed),
                .slices = {},
                .labels = labels,
                .by_slice = {},
                .by_study = {},
                .parts = {}};
  scores.by_slice.labels = labels.size();
  for (int study = 0; study < studies; ++study)
    for (int slice = 0; slice <= study % 4; ++slice) {
      data::SliceRecord record{.file = std::to_string(study) + "/" + std::to_string(slice) + ".png",
                               .study = "study " + std::to_string(study),
                               .x_mm = slice - 1.5,
                               .labeled = true};
      for (std::size_t l = 0; l < labels.size(); ++l) {
        const bool positive = study % (static_cast<int>(l) + 2) == 0;
        record.labels[columns[l]] = positive;
        if (positive && labels[0] != "patient_overall") record.labels[0] = 1;
        scores.by_slice.logits.push_back(
            static_cast<float>(random::normal(key, index++) + (positive ? strength : 0) - 1));
        scores.by_slice.targets.push_back(positive);
      }
      scores.slices.records.push_back(record);
    }
  scores.by_study = aggregate(scores.slices, scores.by_slice, StudyAggregator(AggregationRule::mean, labels));
  return scores;
}

}  // namespace sagitta::testing
