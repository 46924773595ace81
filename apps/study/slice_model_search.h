// Where the slice models of a study model are. Its config.json names directories, but runs are moved and
// copied to other machines. Invariant: what is found has the fingerprint that the study model was trained
// with.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "models/study_config.h"

namespace sagitta::apps {

struct StudyModelPlace {
  std::filesystem::path directory;
  models::StudyConfig config;
};

// For every study model, of which there is at least one, the directories of its slice models, in the order of
// its config. Each is looked for
//  1. among `given`, directories that the user names (--slice-model);
//  2. where config.json says;
//  3. at the end of that path, e.g. fold-1/best, in the folders above the study model, the nearest first: a
//     folder that holds the runs of both can go anywhere as a whole.
// Throws Error, with the remedy, when one is in none of these places, or a given one is no slice model, is
// given twice or belongs to none of the study models.
std::vector<std::vector<std::string>> find_slice_models(const std::vector<StudyModelPlace>& study_models,
                                                        const std::vector<std::string>& given);

}  // namespace sagitta::apps
