// From a heap of CT slices to one trustworthy stack: group, choose the volume, sort, check.
// Stands between dicom_reader.h (files) and volume.h (voxels).
// Invariant: geometry comes from ImagePositionPatient and ImageOrientationPatient alone - never from file
// names, InstanceNumber, SliceLocation or SliceThickness - and a stack that cannot be trusted is refused with
// the reason.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/dicom_reader.h"

namespace sagitta::data {

enum class Verdict { ok, warn, refused };
const char* verdict_name(Verdict verdict);

struct SeriesPolicy {
  int min_slices = 10;
  double min_extent_mm = 30;         // first to last slice; a neck is about 120
  double max_spacing_mm = 5;         // coarser than this, a sagittal slice shows little
  double warn_spacing_mm = 3;        //
  double max_oblique_degrees = 35;   // slices farther from axial than this are not an axial series
  double max_tilt_degrees = 35;      // shear; scanners tilt by 30 at most
  bool interpolate_missing = false;  // accept gaps of up to three slices and interpolate over them
};

// What was found about one stack, in numbers and in plain words.
struct SeriesReport {
  Verdict verdict = Verdict::ok;
  std::vector<std::string> reasons;  // why not ok; also what was left out
  double spacing_min = 0, spacing_median = 0,
         spacing_max = 0;      // mm between neighboring slices along the normal
  double tilt_degrees = 0;     // between the stacking direction and the normal
  double oblique_degrees = 0;  // between the normal and the head-foot axis

  void warn(std::string reason);
  void refuse(std::string reason);
};

// One stack, sorted by dot(position, normal) ascending. When the verdict is refused, `slices` may be
// anything.
struct Series {
  std::vector<CtSlice> slices;
  SeriesReport report;
};

// What a folder holds: readable CT slices, and a line for each file that was passed over.
struct FolderScan {
  std::vector<CtSlice> slices;
  int not_dicom = 0;                    // other files, for instance CSV
  std::vector<std::string> unreadable;  // DICOM, but damaged or unsupported: the error
  std::vector<std::string> foreign;     // DICOM of another kind (report, MR, ...): the error
};

// Reads the headers of all files under `folder`, recursively. Throws Error if it is not a folder.
FolderScan scan_folder(const std::filesystem::path& folder);

// Chooses the axial volume among `slices` and checks it. Reads pixels only to compare slices at one position.
Series select_series(std::vector<CtSlice> slices, const SeriesPolicy& policy = {});

// scan_folder, then select_series; what could not be read is part of the report.
Series read_series(const std::filesystem::path& folder, const SeriesPolicy& policy = {});

}  // namespace sagitta::data
