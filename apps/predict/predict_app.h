// What `predict` does between its flags and its files: DICOM folders to probabilities per vertebra.
// Invariant: one study after the other; what one of them holds never ends the batch, and its files do not
// depend on the others, so that an interrupted batch goes on and ends with the same files.
#pragma once
#include <string>
#include <vector>

#include "apps/engine/device.h"
#include "apps/predict/open_models.h"
#include "apps/predict/study_files.h"
#include "data/series.h"

namespace sagitta::apps {

struct PredictOptions {
  ModelChoice choice;
  std::string study, studies;  // one of them: a study's folder, or a folder of those
  std::string out;
  std::vector<double> fill;  // of submission.csv: none, one for all, or one per data::kLabelNames
  data::SeriesPolicy policy;
  DeviceOptions device;
  ReadingOptions reading;
  WantedFiles wanted;
  int jobs = 0;  // studies that are read and cut at a time; 0: one per processor
};

struct PredictSummary {
  int predicted = 0, refused = 0;
  int reused = 0;                  // of the predicted ones, by an earlier run
  std::string first_refusal = {};  // study and reason
};

// Predicts, and writes everything. A line per refused study goes to stderr, and progress too. Throws Error
// when no study can be named, a model or an option does not fit, or the output cannot be written.
PredictSummary predict_studies(PredictOptions options);

}  // namespace sagitta::apps
