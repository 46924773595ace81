// The slices that `reslice` wrote, as a data set: manifest.csv read, checked and grouped by study; or slices
// that were just cut. Invariant: every record names a file below `root`, or holds its picture, and has either
// all labels or none.
#pragma once
#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/image.h"

namespace sagitta::data {

// The labels of the RSNA 2022 data set in the order of manifest.csv.
inline constexpr std::array<const char*, 8> kLabelNames{
    "patient_overall", "C1", "C2", "C3", "C4", "C5", "C6", "C7"};

struct SliceRecord {
  std::string file;   // relative to the set's root
  std::string study;  // one patient each in the RSNA layout
  double x_mm = 0;    // position across the patient, LPS
  bool labeled = false;
  std::array<float, 8> labels{};  // as kLabelNames, 0 or 1
  // The picture, where it is in memory; `file` is then only its name in messages.
  std::shared_ptr<const Image> picture = {};
};

struct SliceSet {
  std::filesystem::path root;
  std::vector<SliceRecord> records;  // slices of a study are consecutive, right to left

  // The names of all studies, in order of appearance.
  std::vector<std::string> studies() const;
  // The slices of the given studies only, in the order of this set.
  SliceSet of_studies(const std::vector<std::string>& studies) const;
};

// Reads root/manifest.csv. Throws Error naming file and line for a missing column, a path that leaves the
// folder, a label that is not 0 or 1, or a study whose slices disagree about the labels.
SliceSet read_slice_set(const std::filesystem::path& root);

// Which slice it is, short enough for a caption: the end of its study's name, and where it lies.
std::string caption_of(const SliceRecord& record);

// The picture of a record as grey or RGB.
Image read_slice(const SliceSet& set, const SliceRecord& record);

}  // namespace sagitta::data
