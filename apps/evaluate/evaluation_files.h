// The files of an evaluation: evaluation.json, predictions.csv, patients.csv, examples.png.
#pragma once
#include <filesystem>
#include <nlohmann/json_fwd.hpp>

#include "apps/evaluate/evaluation.h"

namespace sagitta::apps {

// `json` begins with what was evaluated (models, data, split, ...); all figures are added to it.
// evaluation.json comes last: where it is, the other files are, too.
void write_evaluation(const std::filesystem::path& folder, nlohmann::ordered_json json, const Scores& scores,
                      const Evaluation& evaluation);

}  // namespace sagitta::apps
