// From a data set of CT studies to a folder of sagittal slices: the program `reslice` as a library.
// Above data/, beside the trainer, which reads what this writes. Layout of the output:
//   settings.json  manifest.csv  studies.json  slices/<study>/<k>.png  slices/<study>/study.json
// Invariants: a study is whole (its study.json, written last) or will be done again; a refused study has no
// slices; all slices of a folder were made with the settings of its settings.json.
#pragma once
#include <filesystem>

#include "apps/reslice/cut_study.h"

namespace sagitta::apps {

struct ResliceOptions : CutOptions {
  // RSNA layout (train.csv, train_images/<study>/<n>.dcm), or folders of DICOM files
  std::filesystem::path data;
  std::filesystem::path out;
  int jobs = 0;  // studies at a time; 0: one per processor
};

struct ResliceSummary {
  int ok = 0, warned = 0, refused = 0;
  int reused = 0;  // of the ok and warned ones, finished by an earlier run
  int usable() const { return ok + warned; }
};

// Processes all studies and writes manifest.csv and studies.json; a line per refused study goes to stderr,
// and progress too. Throws Error if there are no studies, the options contradict themselves or the settings
// of an earlier run in the same folder, or the output cannot be written.
ResliceSummary reslice(const ResliceOptions& options);

}  // namespace sagitta::apps
