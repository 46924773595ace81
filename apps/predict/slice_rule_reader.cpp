#include "apps/predict/slice_rule_reader.h"

#include "tensor/error.h"

namespace sagitta::apps {

std::vector<std::string> label_names(const Ensemble& ensemble) {
  std::vector<std::string> names;
  for (const std::size_t label : ensemble.labels()) names.emplace_back(data::kLabelNames[label]);
  return names;
}

SliceRuleReader::SliceRuleReader(Ensemble ensemble, StudyAggregator aggregator, ReadingOptions reading)
    : ensemble_(std::move(ensemble)), aggregator_(std::move(aggregator)), reading_(reading) {
  require(aggregator_.labels() == label_names(ensemble_),
          "aggregator: it is for {}, but the models predict {}", fmt::join(aggregator_.labels(), ", "),
          fmt::join(label_names(ensemble_), ", "));
}

StudyReading SliceRuleReader::read(const data::SliceSet& slices) const {
  StudyReading reading{.slices = ensemble_.predict(slices, reading_).logits, .study = {}};
  reading.study = aggregator_.apply(reading.slices);
  return reading;
}

std::vector<LabelView> SliceRuleReader::views(std::size_t label) const {
  std::vector<LabelView> views;
  for (const Ensemble::Member& member : ensemble_.members())
    views.push_back({.model = member.model.get(), .input = &member.input, .output = label});
  return views;
}

}  // namespace sagitta::apps
