#include "apps/evaluate/exams.h"

#include <algorithm>

#include "apps/evaluate/aggregation.h"
#include "apps/evaluate/study_ranges.h"
#include "data/rsna_metric.h"

namespace sagitta::apps {

Exams exams_of(const Scores& scores) {
  const std::vector<std::size_t> labels = label_indices(scores.labels);
  const std::vector<float> probabilities = scores.by_study.probabilities();
  std::vector<data::ExamPrediction> exams;
  for (const StudyRange& range : study_ranges(scores.slices))
    exams.push_back({.truth = scores.slices.records[range.begin].labels, .probability = {}});
  const std::array<float, 8> constant = data::best_constant(exams);
  for (data::ExamPrediction& exam : exams) exam.probability = constant;
  Exams result{
      .losses = {},
      .best_constant_loss = data::rsna_log_loss(exams),
      .overall_was_derived = std::find(labels.begin(), labels.end(), std::size_t{0}) == labels.end()};
  for (std::size_t row = 0; row < exams.size(); ++row) {
    std::vector<double> levels;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const float p = probabilities[row * labels.size() + i];
      exams[row].probability[labels[i]] = p;
      if (labels[i] != 0) levels.push_back(p);
    }
    if (result.overall_was_derived) exams[row].probability[0] = static_cast<float>(any_of(levels));
    result.losses.push_back(data::rsna_log_loss({&exams[row], 1}));
  }
  return result;
}

}  // namespace sagitta::apps
