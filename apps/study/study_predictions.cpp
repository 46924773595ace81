#include "apps/study/study_predictions.h"

#include <algorithm>

#include "apps/evaluate/aggregation.h"
#include "apps/study/slice_labels.h"
#include "nn/evaluation_mode.h"

namespace sagitta::apps {
namespace {

constexpr std::size_t kBatch = 256;

FeatureScaling scaling_of(const models::StudyModel& model) {
  return {to_host<float>(model.feature_mean.value()), to_host<float>(model.feature_std.value())};
}

}  // namespace

Predictions slice_predictions(const data::SliceSet& slices, const std::vector<SliceFeatures>& features) {
  std::vector<SliceLabels> labels;
  for (const SliceFeatures& of_model : features) labels.emplace_back(of_model.labels);
  const auto planes = static_cast<std::size_t>(features.front().planes);
  Predictions result{.labels = 8, .logits = {}, .targets = {}};
  std::vector<float> of_models(features.size());
  for (std::size_t row = 0; row < slices.records.size(); ++row) {
    std::vector<std::array<float, 8>> seen;
    for (std::size_t m = 0; m < features.size(); ++m)
      seen.push_back(labels[m].of_study(
          features[m].logits_of(row / planes, static_cast<std::int64_t>(row % planes), 0)));
    for (std::size_t j = 0; j < 8; ++j) {
      for (std::size_t m = 0; m < seen.size(); ++m) of_models[m] = seen[m][j];
      result.logits.push_back(static_cast<float>(logit_of_mean(of_models)));
      result.targets.push_back(slices.records[row].labels[j]);
    }
  }
  return result;
}

Predictions study_predictions(models::StudyModel& model, const nn::Context& context, const StudyData& data) {
  const nn::EvaluationMode evaluation(model);
  const autograd::NoGradient no_gradient;
  const FeatureScaling scaling = scaling_of(model);
  std::vector<double> sums(data.studies() * 8);
  std::vector<int> counts(data.studies());
  Predictions result{.labels = 8, .logits = {}, .targets = std::vector<float>(sums.size())};
  for (std::size_t begin = 0; begin < data.rows().size(); begin += kBatch) {
    std::vector<std::size_t> rows;
    for (std::size_t i = begin; i < std::min(begin + kBatch, data.rows().size()); ++i) rows.push_back(i);
    const StudyBatch batch = make_batch(data, rows, scaling, context.backend());
    const std::vector<float> logits = to_host<float>(
        model(autograd::Variable(batch.features), autograd::Variable(batch.slice_logits)).value());
    for (std::size_t b = 0; b < rows.size(); ++b) {
      const StudyRow& row = data.rows()[rows[b]];
      ++counts[row.group];
      for (std::size_t j = 0; j < 8; ++j) {
        sums[row.group * 8 + j] += logits[b * 8 + j];
        result.targets[row.group * 8 + j] = row.labels[j];
      }
    }
  }
  for (std::size_t i = 0; i < sums.size(); ++i)
    result.logits.push_back(static_cast<float>(sums[i] / counts[i / 8]));
  return result;
}

}  // namespace sagitta::apps
