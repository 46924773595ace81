#include "apps/evaluate/scores.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "apps/engine/progress.h"
#include "apps/evaluate/study_ranges.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

Predictions predict_with_progress(const Ensemble& ensemble, const data::SliceSet& slices,
                                  const ReadingOptions& options, const char* what) {
  Progress progress(what, "images", static_cast<std::int64_t>(slices.records.size() * ensemble.passes()), 0,
                    options.quiet ? Progress::Voice::quiet : Progress::Voice::normal);
  return ensemble.predict(slices, options, [&](std::int64_t done) { progress.update(done); });
}

void require_unseen(const StudyAggregator& aggregator, const std::vector<std::string>& studies) {
  const std::unordered_set<std::string> seen(aggregator.fitted_studies().begin(),
                                             aggregator.fitted_studies().end());
  for (const std::string& study : studies)
    require(
        !seen.contains(study),
        "--aggregate learned: it was fitted to study {}, which is evaluated; evaluate other studies (--split "
        "test), or take another rule",
        study);
}

StudyAggregator aggregator_of(const EvaluationPart& part, const Ensemble& ensemble,
                              const std::vector<std::string>& labels, const data::SliceSet& labeled,
                              const ScoringOptions& options) {
  if (!options.aggregator.empty()) {
    StudyAggregator loaded = StudyAggregator::load(options.aggregator);
    require(loaded.labels() == labels, "--aggregator {}: its labels are not those of {}", options.aggregator,
            part.models.front());
    require_unseen(loaded, part.studies);
    return loaded;
  }
  if (options.rule != AggregationRule::learned) return {options.rule, labels};
  const data::SliceSet fitting = labeled.of_studies(part.fitting);
  require(
      !fitting.records.empty(),
      "--aggregate learned: no validation study of {} is there to fit it to; give --aggregator FILE, or take "
      "another rule",
      part.models.front());
  for (const std::string& study : part.fitting)
    require(
        std::find(part.studies.begin(), part.studies.end(), study) == part.studies.end(),
        "--aggregate learned: it is fitted to the validation studies, which are evaluated; use --split test, "
        "or take another rule");
  return StudyAggregator::fit(fitting,
                              predict_with_progress(ensemble, fitting, options.reading, "validation"), labels,
                              options.penalty);
}

Predictions empty_table(std::size_t rows, std::size_t labels) {
  return {.labels = labels,
          .logits = std::vector<float>(rows * labels),
          .targets = std::vector<float>(rows * labels)};
}

// Copies rows [row, row + count) of a table to another one's rows from `to_row` on.
void copy_rows(const Predictions& from, std::size_t row, std::size_t count, Predictions& to,
               std::size_t to_row) {
  const auto first = static_cast<std::ptrdiff_t>(row * from.labels);
  const auto target = static_cast<std::ptrdiff_t>(to_row * to.labels);
  std::copy_n(from.logits.begin() + first, count * from.labels, to.logits.begin() + target);
  std::copy_n(from.targets.begin() + first, count * from.labels, to.targets.begin() + target);
}

// Puts the tables of a part where its studies are among all of `scores.slices`.
void place_rows(const data::SliceSet& part, const Predictions& by_slice, const Predictions& by_study,
                Scores& scores) {
  struct Rows {
    std::size_t slice = 0, study = 0;
  };
  std::unordered_map<std::string, Rows> rows_of;
  for (const StudyRange& range : study_ranges(scores.slices))
    rows_of.emplace(scores.slices.records[range.begin].study, Rows{range.begin, rows_of.size()});
  std::size_t study = 0;
  for (const StudyRange& range : study_ranges(part)) {
    const Rows& rows = rows_of.at(part.records[range.begin].study);
    copy_rows(by_slice, range.begin, range.end - range.begin, scores.by_slice, rows.slice);
    copy_rows(by_study, study++, 1, scores.by_study, rows.study);
  }
}

std::string joined(const std::vector<EvaluationPart>& parts) {
  std::vector<std::string> names;
  for (const EvaluationPart& part : parts)
    for (const std::string& model : part.models)
      if (std::find(names.begin(), names.end(), model) == names.end()) names.push_back(model);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

Scores with_labels(Scores scores, const std::vector<std::string>& labels) {
  std::vector<std::size_t> columns;
  for (const std::string& label : labels) {
    const auto found = std::find(scores.labels.begin(), scores.labels.end(), label);
    if (found == scores.labels.end()) return scores;
    columns.push_back(static_cast<std::size_t>(found - scores.labels.begin()));
  }
  const auto select = [&](const Predictions& from) {
    Predictions chosen{.labels = columns.size(), .logits = {}, .targets = {}};
    for (std::size_t row = 0; row < from.rows(); ++row)
      for (const std::size_t column : columns) {
        chosen.logits.push_back(from.logits[row * from.labels + column]);
        chosen.targets.push_back(from.targets[row * from.labels + column]);
      }
    return chosen;
  };
  scores.by_slice = select(scores.by_slice);
  scores.by_study = select(scores.by_study);
  scores.labels = labels;
  return scores;
}

std::vector<std::size_t> label_indices(const std::vector<std::string>& labels) {
  std::vector<std::size_t> indices;
  for (const std::string& label : labels) {
    const auto found = std::find(data::kLabelNames.begin(), data::kLabelNames.end(), label);
    require(found != data::kLabelNames.end(), "evaluate: label '{}' is none of patient_overall, C1..C7",
            label);
    indices.push_back(static_cast<std::size_t>(found - data::kLabelNames.begin()));
  }
  return indices;
}

Scores score_parts(const data::SliceSet& labeled, const std::vector<EvaluationPart>& parts, Backend& backend,
                   DType dtype, const ScoringOptions& options) {
  Scores scores{.name = joined(parts),
                .slices = evaluated_slices(labeled, parts),
                .labels = {},
                .by_slice = {},
                .by_study = {},
                .parts = {}};
  for (const EvaluationPart& part : parts) {
    const Ensemble ensemble(part.models, backend, dtype);
    std::vector<std::string> labels;
    for (std::size_t label : ensemble.labels()) labels.emplace_back(data::kLabelNames[label]);
    if (scores.labels.empty()) {
      scores.labels = labels;
      scores.by_slice = empty_table(scores.slices.records.size(), labels.size());
      scores.by_study = empty_table(scores.slices.studies().size(), labels.size());
    }
    require(labels == scores.labels, "{}: its labels differ from those of {}", part.models.front(),
            parts.front().models.front());
    scores.parts.push_back({part, aggregator_of(part, ensemble, labels, labeled, options)});
    const data::SliceSet slices = labeled.of_studies(part.studies);
    const Predictions predictions = predict_with_progress(ensemble, slices, options.reading, "evaluating");
    place_rows(slices, predictions, aggregate(slices, predictions, scores.parts.back().aggregator), scores);
  }
  return scores;
}

}  // namespace sagitta::apps
