// One study of the program `reslice`: folder of DICOM files in, pictures and a record out.
// Invariant: study.json appears, by rename, only after all pictures of the study.
#pragma once
#include <nlohmann/json.hpp>

#include "apps/reslice/reslice.h"
#include "data/volume.h"

namespace sagitta::apps {

// Reads, checks and cuts the study and writes slices/<name>/. Returns StudyCut::record. Throws only if the
// output cannot be written.
nlohmann::ordered_json reslice_study(const StudyInput& study, const ResliceOptions& options,
                                     data::Volume& volume);

// The record of a study that an earlier run finished; null if there is none, or its pictures are not all
// there.
nlohmann::ordered_json finished_study(const StudyInput& study, const ResliceOptions& options);

}  // namespace sagitta::apps
