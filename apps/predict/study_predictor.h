// StudyPredictor: models, asked about one study after the other: how probable is a fracture, and where did
// they look? Invariant: the same numbers as the evaluation of the models gives for the same slices; a study's
// answer does not depend on others.
#pragma once
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/predict/study_reader.h"
#include "apps/reslice/cut_study.h"

namespace sagitta::apps {

// Of each of data::kLabelNames; none where no model predicts it.
using LabelProbabilities = std::array<std::optional<double>, 8>;

struct StudyPrediction {
  std::vector<std::string> labels;   // of the models' outputs
  std::vector<float> slices;         // logits [pictures, outputs]
  std::vector<float> study;          // logits [outputs]
  LabelProbabilities probabilities;  // of the study
  bool overall_was_derived = false;  // patient_overall is 1 - prod(1 - p) of the vertebrae

  float slice_logit(std::size_t picture, std::size_t output) const {
    return slices[picture * labels.size() + output];
  }
};

class StudyPredictor {
 public:
  explicit StudyPredictor(std::unique_ptr<StudyReader> reader);

  const std::vector<std::string>& labels() const { return reader_->labels(); }

  // Throws Error when a model's answer is not a finite number.
  StudyPrediction predict(const StudyCut& cut) const;

  // Where the models looked, in the picture letterboxed to side x side pixels, for this output: [side, side]
  // in [0, 1], the mean of the slice models' maps (models/explain.h, each model's first method), the largest
  // value 1 again.
  std::vector<float> heat(const StudyCut& cut, std::size_t picture, std::size_t output, int side) const;

 private:
  std::unique_ptr<StudyReader> reader_;
};

}  // namespace sagitta::apps
