// SliceLabels: from the logits of a slice model to the eight labels of a study. A slice model without
// patient_overall gets 1 - prod(1 - p) over its vertebrae, as in `evaluate`.
#pragma once
#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace sagitta::apps {

// The labels of a study, as data::kLabelNames.
std::vector<std::string> study_labels();

class SliceLabels {
 public:
  // `labels` are the slice model's, in the order of its logits. Throws Error unless C1..C7 are among them.
  explicit SliceLabels(const std::vector<std::string>& labels);

  // logits [labels] of one slice -> logits [8], in the order of study_labels()
  std::array<float, 8> of_study(std::span<const float> logits) const;
  // Which of the slice model's logits is for this label of a study; none for a patient_overall that it lacks.
  std::optional<std::size_t> column(std::size_t label) const;

 private:
  std::array<std::size_t, 8> columns_{};
  bool has_overall_ = false;
};

}  // namespace sagitta::apps
