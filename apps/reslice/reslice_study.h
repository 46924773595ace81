// One study of the program `reslice`: folder of DICOM files in, pictures and a record out.
// Invariant: study.json appears, by rename, only after all pictures of the study.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "apps/reslice/reslice.h"
#include "data/volume.h"

namespace sagitta::apps {

struct StudyInput {
  std::string name;              // folder name under slices/
  std::filesystem::path folder;  // where its DICOM files are
};

// Everything that decides what the pictures look like; equal settings give equal pictures.
nlohmann::ordered_json settings_json(const ResliceOptions& options);

// Reads, checks and cuts the study and writes slices/<name>/. Returns its record: verdict, reasons, spacing,
// tilt, ..., and `planes_x_mm`, the position of each written slice (empty if refused). Throws only if the
// output cannot be written; whatever is wrong with the input is a refusal. `volume` is memory to work in,
// which a thread keeps from study to study.
nlohmann::ordered_json reslice_study(const StudyInput& study, const ResliceOptions& options,
                                     data::Volume& volume);

// The record of a study that an earlier run finished; null if there is none, or its pictures are not all
// there.
nlohmann::ordered_json finished_study(const StudyInput& study, const ResliceOptions& options);

// JSON on one line (indent -1) or indented, ending in a line feed; bytes of file names that are not UTF-8 are
// replaced.
std::string json_text(const nlohmann::ordered_json& json, int indent);

}  // namespace sagitta::apps
