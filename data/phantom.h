// Writes a synthetic cervical-spine CT data set in the layout of RSNA 2022:
// train.csv, train_bounding_boxes.csv and train_images/<StudyInstanceUID>/<n>.dcm.
// Invariant: the same options give the same bytes, whatever the number of threads; train.csv appears last.
#pragma once
#include <filesystem>
#include <functional>
#include <optional>

#include "data/dicom_writer.h"
#include "data/phantom_scan.h"

namespace sagitta::data {

struct PhantomOptions {
  std::filesystem::path out;
  int studies = 10;
  std::uint64_t seed = 1;
  ScanOptions scan{};
  std::optional<TransferSyntax> syntax{};  // of all files; none: varied, as in the real set
  double prevalence_scale = 1;             // 1: as frequent as in the RSNA training set
  double difficulty = 0.5;                 // 0 plain fractures, 1 very subtle ones
  int jobs = 0;                            // threads, 0 for one per processor
};

struct PhantomSummary {
  int studies = 0, fractured = 0;
  long long slices = 0;
};

// Calls `progress(studies done)` from one thread at a time. Throws Error if an option is out of range, `out`
// already holds a train.csv, or a file cannot be written.
PhantomSummary write_phantom(const PhantomOptions& options, const std::function<void(int)>& progress);

}  // namespace sagitta::data
