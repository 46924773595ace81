#include "apps/predict/study_model_reader.h"

#include "apps/study/slice_labels.h"

namespace sagitta::apps {

StudyModelReader::StudyModelReader(StudyEnsemble ensemble, FeatureOptions reading)
    : ensemble_(std::move(ensemble)), reading_(reading), labels_(study_labels()) {}

StudyReading StudyModelReader::read(const data::SliceSet& slices) const {
  StudyEnsemble::Answer answer = ensemble_.predict(slices, reading_);
  return {.slices = std::move(answer.by_slice.logits), .study = std::move(answer.by_study.logits)};
}

std::vector<LabelView> StudyModelReader::views(std::size_t label) const {
  std::vector<LabelView> views;
  for (const SliceModel& model : ensemble_.slice_models())
    if (const auto output = SliceLabels(model.model->config().labels).column(label))
      views.push_back({.model = model.model.get(), .input = &model.input, .output = *output});
  return views;
}

}  // namespace sagitta::apps
