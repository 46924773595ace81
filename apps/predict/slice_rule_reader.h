// SliceRuleReader: an ensemble of slice models, and a rule that makes one answer of their slices'. The same
// numbers as `evaluate` gives for the same slices.
#pragma once
#include "apps/evaluate/aggregation.h"
#include "apps/evaluate/ensemble.h"
#include "apps/predict/study_reader.h"

namespace sagitta::apps {

class SliceRuleReader : public StudyReader {
 public:
  // Throws Error when the aggregator's labels are not the ensemble's.
  SliceRuleReader(Ensemble ensemble, StudyAggregator aggregator, ReadingOptions reading);

  const std::vector<std::string>& labels() const override { return aggregator_.labels(); }
  StudyReading read(const data::SliceSet& slices) const override;
  std::vector<LabelView> views(std::size_t label) const override;
  const nn::Context& context() const override { return ensemble_.context(); }

 private:
  Ensemble ensemble_;
  StudyAggregator aggregator_;
  ReadingOptions reading_;
};

// The names of the ensemble's outputs.
std::vector<std::string> label_names(const Ensemble& ensemble);

}  // namespace sagitta::apps
