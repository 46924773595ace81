#include "apps/predict/study_predictor.h"

#include <algorithm>

#include "apps/evaluate/scores.h"
#include "apps/explain/heat_maps.h"

namespace sagitta::apps {
namespace {

data::SliceRecord slice_of(const StudyCut& cut, std::size_t picture) {
  return {.file = fmt::format("plane {}", picture),
          .study = cut.record["study"],
          .x_mm = cut.record["planes_x_mm"][picture],
          .picture = std::make_shared<const data::Image>(cut.pictures[picture])};
}

}  // namespace

StudyPredictor::StudyPredictor(std::unique_ptr<StudyReader> reader) : reader_(std::move(reader)) {}

StudyPrediction StudyPredictor::predict(const StudyCut& cut) const {
  data::SliceSet slices;
  for (std::size_t k = 0; k < cut.pictures.size(); ++k) slices.records.push_back(slice_of(cut, k));
  StudyReading reading = reader_->read(slices);
  StudyPrediction result{.labels = labels(),
                         .slices = std::move(reading.slices),
                         .study = std::move(reading.study),
                         .probabilities = {}};
  std::vector<double> levels;
  const std::vector<std::size_t> indices = label_indices(labels());
  for (std::size_t output = 0; output < indices.size(); ++output) {
    const double p = probability_of(result.study[output]);
    result.probabilities[indices[output]] = p;
    if (indices[output] != 0) levels.push_back(p);
  }
  result.overall_was_derived = !result.probabilities[0];
  if (result.overall_was_derived) result.probabilities[0] = any_of(levels);
  return result;
}

std::vector<float> StudyPredictor::heat(const StudyCut& cut, std::size_t picture, std::size_t output,
                                        int side) const {
  std::vector<float> sum(static_cast<std::size_t>(side) * static_cast<std::size_t>(side));
  for (const LabelView& view : reader_->views(output)) {
    const HeatQuestion question{.slice = slice_of(cut, picture), .output = view.output};
    InputOptions input = *view.input;
    input.loader.batch_size = 1;
    const HeatMethod method{.method = models::explain_methods(view.model->config()).front(), .grad_cam = {}};
    explain_slices(*view.model, reader_->context(), {}, {question}, input, method,
                   [&](const HeatAnswer& answer) {
                     const std::vector<float> own = enlarged_heat(answer.heat, answer.size, side);
                     std::transform(sum.begin(), sum.end(), own.begin(), sum.begin(), std::plus<>());
                   });
  }
  const float most = *std::max_element(sum.begin(), sum.end());
  for (float& value : sum) value = most > 0 ? value / most : 0;
  return sum;
}

}  // namespace sagitta::apps
