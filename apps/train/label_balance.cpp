#include "apps/train/label_balance.h"

namespace sagitta::apps {
namespace {

double positives_of(const data::SliceSet& slices, std::size_t label) {
  double positives = 0;
  for (const data::SliceRecord& record : slices.records) positives += record.labels[label];
  return positives;
}

}  // namespace

std::vector<float> balanced_weights(const data::SliceSet& slices, const std::vector<std::size_t>& labels) {
  std::vector<float> weights;
  for (const std::size_t label : labels) {
    const double positives = positives_of(slices, label);
    const double negatives = static_cast<double>(slices.records.size()) - positives;
    weights.push_back(positives > 0 && negatives > 0 ? static_cast<float>(negatives / positives) : 1.0F);
  }
  return weights;
}

std::vector<std::string> labels_without_positives(const data::SliceSet& slices,
                                                  const std::vector<std::size_t>& labels) {
  std::vector<std::string> names;
  for (const std::size_t label : labels)
    if (positives_of(slices, label) == 0) names.emplace_back(data::kLabelNames[label]);
  return names;
}

}  // namespace sagitta::apps
