// One study from a folder of DICOM files to sagittal pictures in memory: what `reslice` writes to disk and
// what `predict` shows to models. Invariant: whatever is wrong with a study is a refusal with its reason, not
// an exception; equal options give equal pictures.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "apps/engine/slices.h"
#include "data/image.h"
#include "data/sagittal.h"
#include "data/series.h"
#include "data/window.h"

namespace sagitta::apps {

enum class SliceChannels {
  grey,      // 1 channel, one window
  windows,   // 3 channels, three windows of one plane
  neighbors  // 3 channels, one window of the planes before, at and after
};

// What decides which studies are cut, and what their pictures look like.
struct CutOptions {
  int planes = 25;                    // per study
  double span_mm = 40;                // from the first to the last plane, centered at the spine
  double spacing_mm = 0.5;            // pixel size; with size > 0 the pixels follow from the size
  int size = 0;                       // square slices of this many pixels; 0: as large as the study
  std::vector<data::Window> windows;  // one, or three for SliceChannels::windows
  SliceChannels channels = SliceChannels::grey;
  data::SeriesPolicy policy;
};

// "grey", "windows" or "neighbors"; throws Error on anything else.
SliceChannels parse_channels(const std::string& name);
// Names or CENTER/WIDTH, separated by commas; an empty text stands for the usual ones of `channels`.
std::vector<data::Window> parse_windows(const std::string& text, SliceChannels channels);
// How `source` says that slices are cut.
CutOptions cut_options(const SliceSource& source);
// Throws Error, naming the flag, for a number out of range or windows that do not fit the channels.
void check_options(const CutOptions& options);
// Everything that decides what the pictures look like; equal settings give equal pictures.
nlohmann::ordered_json settings_json(const CutOptions& options);

struct StudyInput {
  std::string name;              // the folder's name, by which the study is known
  std::filesystem::path folder;  // where its DICOM files are
};

struct StudyCut {
  // Verdict, reasons, spacing, tilt, ..., and `planes_x_mm`, the position of each picture (empty if refused).
  nlohmann::ordered_json record;
  std::vector<data::Image> pictures;  // patient right to left; none if refused
  data::SagittalGrid grid;            // of all pictures
  nlohmann::ordered_json sources;     // which file each row of the pictures came from
  std::filesystem::path source_file;  // one of the volume's files

  bool refused() const { return pictures.empty(); }
  // Refuses the study after all, for a reason that came up later.
  void refuse(const std::string& reason);
};

// Reads, checks and cuts. `volume` is memory to work in, which a thread keeps from study to study.
StudyCut cut_study(const StudyInput& study, const CutOptions& options, data::Volume& volume);

// JSON on one line (indent -1) or indented, ending in a line feed; bytes of file names that are not UTF-8 are
// replaced.
std::string json_text(const nlohmann::ordered_json& json, int indent);

}  // namespace sagitta::apps
