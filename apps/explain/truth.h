// Where the fractures of a slice are: the data set's bounding boxes on the pixels that a network sees.
// Joins train_bounding_boxes.csv (axial pixels, by file number) with what reslice noted about each study
// (slices/<study>/study.json: where the axial images and the sagittal pictures lie).
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/fracture_boxes.h"
#include "data/sagittal.h"
#include "data/slice_set.h"

namespace sagitta::apps {

// One study: its pictures' grid, its axial images, its boxes.
struct StudyTruth {
  data::SagittalGrid grid;
  data::AxialStack stack;
  std::vector<data::BoundingBox> boxes;
  data::LevelBoxes by_level;  // empty where nobody can tell which vertebra a box belongs to
};

class Truth {
 public:
  // `ct` is the RSNA folder with train_bounding_boxes.csv, from which `slices` were cut. Reads
  // slices/<study>/study.json of each study with boxes. Throws Error, naming the file, when the table or one
  // of those is missing, damaged or (study.json) of an older reslice, or the two have no study in common.
  Truth(const std::filesystem::path& ct, const data::SliceSet& slices);

  // Which pixels of the slice, letterboxed to size x size, lie in a box of the label (0 patient_overall: of
  // any vertebra; 1 to 7: C1..C7); [size, size], 1 inside. All 0 where no box of it crosses the plane, and
  // where boxes cannot be told apart.
  std::vector<std::uint8_t> mask(const data::SliceRecord& slice, std::size_t label, int size) const;
  // Studies with a fracture and boxes, and how many of them have boxes that cannot be told apart.
  struct Counts {
    int with_boxes = 0, ambiguous = 0;
  };
  Counts counts() const { return counts_; }

 private:
  std::map<std::string, StudyTruth> studies_;  // those with boxes
  Counts counts_;
};

}  // namespace sagitta::apps
