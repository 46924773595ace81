#include "apps/study/slice_labels.h"

#include <algorithm>

#include "apps/evaluate/aggregation.h"
#include "data/slice_set.h"
#include "tensor/error.h"

namespace sagitta::apps {

std::vector<std::string> study_labels() { return {data::kLabelNames.begin(), data::kLabelNames.end()}; }

SliceLabels::SliceLabels(const std::vector<std::string>& labels) {
  for (std::size_t j = 0; j < columns_.size(); ++j) {
    columns_[j] = static_cast<std::size_t>(std::find(labels.begin(), labels.end(), data::kLabelNames[j]) -
                                           labels.begin());
    require(j == 0 || columns_[j] < labels.size(),
            "--slice-model: does not predict {}, expected at least C1..C7; its labels are {}",
            data::kLabelNames[j], fmt::join(labels, ", "));
  }
  has_overall_ = columns_[0] < labels.size();
}

std::array<float, 8> SliceLabels::of_study(std::span<const float> logits) const {
  std::array<float, 8> result{};
  for (std::size_t j = 1; j < result.size(); ++j) result[j] = logits[columns_[j]];
  result[0] = has_overall_ ? logits[columns_[0]] : noisy_or(std::span(result).subspan(1));
  return result;
}

std::optional<std::size_t> SliceLabels::column(std::size_t label) const {
  return label == 0 && !has_overall_ ? std::nullopt : std::optional(columns_.at(label));
}

}  // namespace sagitta::apps
