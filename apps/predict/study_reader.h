// StudyReader: the models that look at a study's slices, whatever makes one answer of what they see - a rule
// over the answers of slice models (apps/predict/slice_rule_reader.h) or a study model
// (apps/predict/study_model_reader.h). What stands above, StudyPredictor, pictures and files, does not know
// which. Invariant: a study's answer does not depend on others.
#pragma once
#include <string>
#include <vector>

#include "apps/engine/predictions.h"

namespace sagitta::apps {

// Logits.
struct StudyReading {
  std::vector<float> slices;  // [slices, labels]
  std::vector<float> study;   // [labels]
};

// A slice model and its output for some label, to be asked where it looked.
struct LabelView {
  models::ImageClassifier* model = nullptr;
  const InputOptions* input = nullptr;
  std::size_t output = 0;
};

class StudyReader {
 public:
  virtual ~StudyReader() = default;

  // Of the answers; all are of data::kLabelNames.
  virtual const std::vector<std::string>& labels() const = 0;
  // `slices` are those of one study, in order. Throws Error when a model's answer is not a finite number.
  virtual StudyReading read(const data::SliceSet& slices) const = 0;

  // The slice models that have this label, and the context that they live in.
  virtual std::vector<LabelView> views(std::size_t label) const = 0;
  virtual const nn::Context& context() const = 0;
};

}  // namespace sagitta::apps
