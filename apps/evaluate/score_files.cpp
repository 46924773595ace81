#include "apps/evaluate/score_files.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "apps/engine/slices.h"
#include "apps/evaluate/aggregation.h"
#include "apps/evaluate/study_ranges.h"
#include "data/csv.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

namespace fs = std::filesystem;

constexpr const char *kTruth = "_truth", *kProbability = "_probability";

// 0 and 1 are logits that no double between them has.
float logit_of(double p) {
  return static_cast<float>(std::clamp(std::log(p) - std::log1p(-p), -700.0, 700.0));
}

std::vector<std::string> header_of(std::vector<std::string> first, const std::vector<std::string>& labels) {
  for (const std::string& label : labels) {
    first.push_back(label + kTruth);
    first.push_back(label + kProbability);
  }
  return first;
}

void add_row(std::vector<std::string>& fields, const Predictions& predictions, std::size_t row) {
  for (std::size_t i = row * predictions.labels; i < (row + 1) * predictions.labels; ++i) {
    fields.push_back(predictions.targets[i] > 0.5F ? "1" : "0");
    fields.push_back(fmt::format("{}", probability_of(predictions.logits[i])));
  }
}

// The labels that a table has, in the order of its columns.
std::vector<std::string> labels_in(const data::CsvTable& table) {
  std::vector<std::string> labels;
  for (const std::string& column : table.header)
    if (column.ends_with(kProbability)) {
      labels.push_back(column.substr(0, column.rfind(kProbability)));
      require(std::find(data::kLabelNames.begin(), data::kLabelNames.end(), labels.back()) !=
                  data::kLabelNames.end(),
              "{}: column {} is of none of patient_overall, C1..C7", table.file, column);
    }
  require(!labels.empty(), "{}: has no column of probabilities, as LABEL{}", table.file, kProbability);
  return labels;
}

// The table's rows, found by `key` columns, in the order of `keys`; `truth(i, label)` is what row i must say.
template <class Truth>
Predictions read_rows(const data::CsvTable& table, const std::vector<std::string>& labels, const char* key,
                      const std::vector<std::string>& keys, Truth&& truth) {
  std::unordered_map<std::string, std::size_t> row_of;
  const std::size_t key_column = table.column(key);
  for (std::size_t row = 0; row < table.rows.size(); ++row)
    require(row_of.emplace(table.rows[row][key_column], row).second, "{}: is there twice",
            table.where(row, key_column));
  require(table.rows.size() == keys.size(),
          "{}: has {} rows for {} that are evaluated; compare evaluations of the same studies", table.file,
          table.rows.size(), keys.size());
  Predictions result{.labels = labels.size(), .logits = {}, .targets = {}};
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto found = row_of.find(keys[i]);
    require(found != row_of.end(), "{}: has no row for {} {}; compare evaluations of the same studies",
            table.file, key, keys[i]);
    for (std::size_t label = 0; label < labels.size(); ++label) {
      const std::size_t truth_column = table.column(labels[label] + kTruth),
                        column = table.column(labels[label] + kProbability);
      const double expected = truth(i, label), p = table.number(found->second, column);
      require(table.number(found->second, truth_column) == expected, "{}: is not {} as in the data",
              table.where(found->second, truth_column), expected);
      require(p >= 0 && p <= 1, "{}: is {}, expected in [0, 1]", table.where(found->second, column), p);
      result.logits.push_back(logit_of(p));
      result.targets.push_back(static_cast<float>(expected));
    }
  }
  return result;
}

}  // namespace

void write_scores(const fs::path& folder, const Scores& scores) {
  std::vector<std::vector<std::string>> rows;
  for (std::size_t i = 0; i < scores.slices.records.size(); ++i) {
    const data::SliceRecord& record = scores.slices.records[i];
    add_row(rows.emplace_back(std::vector{record.study, record.file, fmt::format("{}", record.x_mm)}),
            scores.by_slice, i);
  }
  data::write_csv(folder / "predictions.csv", header_of({"study", "slice", "x_mm"}, scores.labels), rows);
  rows.clear();
  const SliceOrigins origins = origins_of(scores.slices);
  for (const StudyRange& range : study_ranges(scores.slices)) {
    const std::string& study = scores.slices.records[range.begin].study;
    const std::size_t row = rows.size();
    add_row(rows.emplace_back(
                std::vector{study, origins.patient_of(study), fmt::format("{}", range.end - range.begin)}),
            scores.by_study, row);
  }
  data::write_csv(folder / "patients.csv", header_of({"study", "patient", "slices"}, scores.labels), rows);
}

Scores read_scores(const fs::path& folder, const data::SliceSet& slices) {
  const data::CsvTable by_slice = data::read_csv(folder / "predictions.csv");
  const data::CsvTable by_study = data::read_csv(folder / "patients.csv");
  Scores scores{.name = folder.string(),
                .slices = slices,
                .labels = labels_in(by_slice),
                .by_slice = {},
                .by_study = {},
                .parts = {}};
  const std::vector<std::size_t> indices = label_indices(scores.labels);
  const std::vector<StudyRange> studies = study_ranges(slices);
  std::vector<std::string> files;
  for (const data::SliceRecord& record : slices.records) files.push_back(record.file);
  scores.by_slice = read_rows(
      by_slice, scores.labels, "slice", files,
      [&](std::size_t row, std::size_t label) { return slices.records[row].labels[indices[label]]; });
  scores.by_study =
      read_rows(by_study, scores.labels, "study", slices.studies(), [&](std::size_t row, std::size_t label) {
        return slices.records[studies[row].begin].labels[indices[label]];
      });
  return scores;
}

}  // namespace sagitta::apps
