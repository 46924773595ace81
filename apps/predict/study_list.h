// Which folders are studies: what `predict` was pointed at, one folder or a folder of folders.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "apps/reslice/cut_study.h"

namespace sagitta::apps {

// The study in one folder, whatever it holds. Throws Error if it is not a folder.
StudyInput study_in(const std::filesystem::path& folder);

// A study per subfolder, sorted by name; of a folder in RSNA's layout the subfolders of test_images or
// train_images. Hidden ones are passed over. Throws Error, with the remedy, if there is none, the folder
// holds DICOM files itself, or both of RSNA's.
std::vector<StudyInput> studies_in(const std::filesystem::path& folder);

// Why a study of this name cannot have files named after it; empty where it can.
std::string naming_problem(const std::string& study);

}  // namespace sagitta::apps
