// StudyModelReader: study models over their slice models. The same numbers as the evaluation of train_study
// gives for the same slices; what is said of a slice is the mean over the slice models.
#pragma once
#include "apps/predict/study_reader.h"
#include "apps/study/study_ensemble.h"

namespace sagitta::apps {

class StudyModelReader : public StudyReader {
 public:
  StudyModelReader(StudyEnsemble ensemble, FeatureOptions reading);

  const std::vector<std::string>& labels() const override { return labels_; }
  StudyReading read(const data::SliceSet& slices) const override;
  std::vector<LabelView> views(std::size_t label) const override;
  const nn::Context& context() const override { return ensemble_.slice_context(); }

 private:
  StudyEnsemble ensemble_;
  FeatureOptions reading_;
  std::vector<std::string> labels_;
};

}  // namespace sagitta::apps
