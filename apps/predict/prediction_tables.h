// The tables of a finished batch: predictions.json, predictions.csv and submission.csv, made of what each
// study left behind. Invariant: written whole or not at all, and a function of the studies' files and their
// order.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "apps/predict/study_files.h"

namespace sagitta::apps {

// One row: what is kept of a study when the next one is looked at.
struct StudyRow {
  std::string study;
  std::string verdict;
  LabelProbabilities probabilities;  // none of a refused study
  std::string refusal;               // of a study that cannot have a JSON file of its own
};

// `header` is what predictions.json begins with; the studies' records follow, read one at a time, since
// thousands would not fit the memory.
void write_predictions_json(const StudyFiles& files, const nlohmann::ordered_json& header,
                            const std::vector<StudyRow>& rows);

// study, verdict, patient_overall, C1..C7; empty where there is no prediction.
void write_predictions_csv(const std::filesystem::path& file, const std::vector<StudyRow>& rows);

// The RSNA 2022 competition's format: row_id (<study>_C1 .. <study>_C7, <study>_patient_overall), fractured.
// What was not predicted gets `fill` (per label, as data::kLabelNames), or no row where it is empty. Returns
// how many rows are filled or missing.
std::size_t write_submission(const std::filesystem::path& file, const std::vector<StudyRow>& rows,
                             const std::vector<double>& fill);

}  // namespace sagitta::apps
