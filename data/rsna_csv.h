// The tables of the RSNA 2022 Cervical Spine Fracture Detection data set.
// Invariant: what these readers return is complete and consistent; a study id is safe to use as a folder
// name.
#pragma once
#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace sagitta::data {

// One row of train.csv: is any cervical vertebra fractured, and which of C1..C7.
struct StudyLabels {
  std::string study;       // StudyInstanceUID, the folder name under train_images
  int overall = 0;         // 0 or 1
  std::array<int, 7> c{};  // C1..C7, 0 or 1
};

// One row of train_bounding_boxes.csv: a fracture in one axial image.
struct BoundingBox {
  std::string study;
  double x = 0, y = 0;           // top-left corner, pixels of the axial image
  double width = 0, height = 0;  // pixels
  int slice_number = 0;          // the n of n.dcm
};

// True if `id` can be one folder name on any system: no separators, no "..", no control characters, at most
// 64 characters.
bool is_plain_folder_name(std::string_view id);

// Columns StudyInstanceUID, patient_overall, C1..C7 in any order, others ignored. Throws Error for a missing
// column, a label that is not 0 or 1, a study that appears twice or whose id is not a plain folder name, or a
// table without rows. A patient_overall that differs from the OR of C1..C7 is refused as well: it holds in
// all of the published table.
std::vector<StudyLabels> read_train_csv(const std::filesystem::path& path);
void write_train_csv(const std::filesystem::path& path, const std::vector<StudyLabels>& studies);

// Columns StudyInstanceUID, x, y, width, height, slice_number. Throws Error for a negative size, a corner
// that is not a number or a slice number that is not a whole number from 0.
std::vector<BoundingBox> read_bounding_boxes_csv(const std::filesystem::path& path);
void write_bounding_boxes_csv(const std::filesystem::path& path, const std::vector<BoundingBox>& boxes);

}  // namespace sagitta::data
