// How a trained study model does on the test patients, with the rules that aggregate slices beside it on the
// same patients: the files of an evaluation (apps/evaluate/evaluation_files.h).
#pragma once
#include <string>

#include "apps/evaluate/evaluation.h"
#include "apps/study/slice_baselines.h"
#include "apps/study/study_trainer.h"

namespace sagitta::apps {

// The slices of one part of the split, and what each slice model says of them.
struct StudyPart {
  data::SliceSet slices;
  std::vector<SliceFeatures> features;  // one variant; in the order of the slices
};

struct StudyEvaluationOptions {
  std::string model;  // its directory, as it is to be named
  nn::BootstrapOptions bootstrap;
};

// Evaluates the model on `test`; the rules are compared with it, and the one that `validation` prefers is
// named. Prints the tables and writes the files into `folder`, which is made.
void evaluate_studies(models::StudyModel& model, const nn::Context& context, const StudyPart& validation,
                      const StudyPart& test, const StudyEvaluationOptions& options,
                      const std::filesystem::path& folder);

}  // namespace sagitta::apps
