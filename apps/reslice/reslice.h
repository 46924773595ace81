// From a data set of CT studies to a folder of sagittal slices: the program `reslice` as a library.
// Above data/, beside the trainer, which reads what this writes. Layout of the output:
//   settings.json  manifest.csv  studies.json  slices/<study>/<k>.png  slices/<study>/study.json
// Invariants: a study is whole (its study.json, written last) or will be done again; a refused study has no
// slices; all slices of a folder were made with the settings of its settings.json.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "data/series.h"
#include "data/window.h"

namespace sagitta::apps {

enum class SliceChannels {
  grey,      // 1 channel, one window
  windows,   // 3 channels, three windows of one plane
  neighbors  // 3 channels, one window of the planes before, at and after
};

struct ResliceOptions {
  std::filesystem::path
      data;  // RSNA layout (train.csv, train_images/<study>/<n>.dcm), or folders of DICOM files
  std::filesystem::path out;
  int planes = 25;                    // per study
  double span_mm = 40;                // from the first to the last plane, centered at the spine
  double spacing_mm = 0.5;            // pixel size; with size > 0 the pixels follow from the size
  int size = 0;                       // square slices of this many pixels; 0: as large as the study
  std::vector<data::Window> windows;  // one, or three for SliceChannels::windows
  SliceChannels channels = SliceChannels::grey;
  data::SeriesPolicy policy;
  int jobs = 0;  // studies at a time; 0: one per processor
};

// "grey", "windows" or "neighbors"; throws Error on anything else.
SliceChannels parse_channels(const std::string& name);
// Names or CENTER/WIDTH, separated by commas; an empty text stands for the usual ones of `channels`.
std::vector<data::Window> parse_windows(const std::string& text, SliceChannels channels);

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
