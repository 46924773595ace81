#include "apps/study/slice_baselines.h"

#include <algorithm>

#include "apps/engine/label_areas.h"
#include "apps/evaluate/study_ranges.h"
#include "apps/study/slice_labels.h"

namespace sagitta::apps {
namespace {

constexpr std::size_t kFolds = 5;

// The rows of some studies, by index of study.
template <class Wanted>
std::pair<data::SliceSet, Predictions> rows_of(const data::SliceSet& slices, const Predictions& predictions,
                                               Wanted&& wanted) {
  std::pair<data::SliceSet, Predictions> chosen{{.root = slices.root, .records = {}},
                                                {.labels = predictions.labels, .logits = {}, .targets = {}}};
  std::size_t study = 0;
  for (const StudyRange& range : study_ranges(slices)) {
    if (!wanted(study++)) continue;
    const auto append = [&](const auto& from, auto& to, std::size_t columns) {
      to.insert(to.end(), from.begin() + static_cast<std::ptrdiff_t>(range.begin * columns),
                from.begin() + static_cast<std::ptrdiff_t>(range.end * columns));
    };
    append(slices.records, chosen.first.records, 1);
    append(predictions.logits, chosen.second.logits, predictions.labels);
    append(predictions.targets, chosen.second.targets, predictions.labels);
  }
  return chosen;
}

// Every study predicted by a fit to the other folds' studies.
Predictions learned_out_of_fold(const data::SliceSet& slices, const Predictions& by_slice) {
  Predictions result = aggregate(slices, by_slice, StudyAggregator(AggregationRule::mean, study_labels()));
  for (std::size_t fold = 0; fold < kFolds; ++fold) {
    const auto [fitting, fitting_rows] =
        rows_of(slices, by_slice, [&](std::size_t study) { return study % kFolds != fold; });
    const auto [held_out, held_out_rows] =
        rows_of(slices, by_slice, [&](std::size_t study) { return study % kFolds == fold; });
    if (fitting.records.empty() || held_out.records.empty()) continue;
    const Predictions predicted =
        aggregate(held_out, held_out_rows, StudyAggregator::fit(fitting, fitting_rows, study_labels()));
    for (std::size_t row = 0; row < predicted.rows(); ++row)
      std::copy_n(predicted.logits.begin() + static_cast<std::ptrdiff_t>(row * result.labels), result.labels,
                  result.logits.begin() + static_cast<std::ptrdiff_t>((row * kFolds + fold) * result.labels));
  }
  return result;
}

}  // namespace

std::vector<SliceBaseline> slice_baselines(const data::SliceSet& validation, const Predictions& by_slice) {
  std::vector<SliceBaseline> baselines;
  for (const AggregationRule rule :
       {AggregationRule::mean, AggregationRule::max, AggregationRule::noisy_or}) {
    const StudyAggregator aggregator(rule, study_labels());
    baselines.push_back({aggregator, label_areas(aggregate(validation, by_slice, aggregator)).macro()});
  }
  baselines.push_back({StudyAggregator::fit(validation, by_slice, study_labels()),
                       label_areas(learned_out_of_fold(validation, by_slice)).macro()});
  return baselines;
}

std::size_t best_baseline(const std::vector<SliceBaseline>& baselines) {
  const auto best = std::max_element(
      baselines.begin(), baselines.end(),
      [](const SliceBaseline& a, const SliceBaseline& b) { return a.validation_auroc < b.validation_auroc; });
  return static_cast<std::size_t>(best - baselines.begin());
}

}  // namespace sagitta::apps
