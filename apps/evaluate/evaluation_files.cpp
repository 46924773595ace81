#include "apps/evaluate/evaluation_files.h"

#include <nlohmann/json.hpp>

#include "apps/evaluate/score_files.h"
#include "apps/evaluate/sheet.h"
#include "tensor/atomic_file.h"

namespace sagitta::apps {

void write_evaluation(const std::filesystem::path& folder, nlohmann::ordered_json json, const Scores& scores,
                      const Evaluation& evaluation) {
  json.update(evaluation_json(evaluation));
  write_scores(folder, scores);
  data::write_png(folder / "examples.png",
                  contact_sheet(scores.slices, scores.by_slice, label_indices(scores.labels),
                                evaluation.options.decision.threshold));
  write_text_file(folder / "evaluation.json", json.dump(1) + "\n");
}

}  // namespace sagitta::apps
