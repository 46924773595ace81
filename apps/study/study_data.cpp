#include "apps/study/study_data.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "apps/evaluate/study_ranges.h"
#include "apps/study/slice_labels.h"
#include "data/rsna_metric.h"
#include "data/shuffle.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

// Streams of random numbers that the model's dropout layers, numbered from 0, do not use.
enum Stream : std::uint32_t { kOrder = 0xF0000000u, kVariant, kPlanes };

}  // namespace

StudyData::StudyData(const data::SliceSet& slices, const std::vector<SliceFeatures>& features)
    : studies_(slices.studies()), slice_models_(features.size()) {
  std::unordered_map<std::string, std::size_t> group_of;
  std::vector<std::array<float, 8>> labels;
  for (const StudyRange& range : study_ranges(slices)) {
    group_of.emplace(slices.records[range.begin].study, labels.size());
    labels.push_back(slices.records[range.begin].labels);
  }
  std::vector<bool> seen(studies_.size());
  for (std::size_t m = 0; m < features.size(); ++m)
    for (std::size_t i = 0; i < features[m].studies.size(); ++i) {
      const auto found = group_of.find(features[m].studies[i]);
      require(found != group_of.end(), "study data: features of study {}, which is in no slice set",
              features[m].studies[i]);
      seen[found->second] = true;
      rows_.push_back({.features = &features[m],
                       .study = i,
                       .slice_model = m,
                       .group = found->second,
                       .labels = labels[found->second]});
    }
  for (std::size_t i = 0; i < seen.size(); ++i)
    require(seen[i], "study data: no slice model gives features of study {}", studies_[i]);
}

FeatureScaling StudyData::scaling() const {
  const auto width = static_cast<std::size_t>(rows_.front().features->width());
  std::vector<double> sum(slice_models_ * width), squares(sum.size());
  std::vector<double> count(slice_models_);
  for (const StudyRow& row : rows_) {
    const SliceFeatures& features = *row.features;
    const auto add = [&](std::span<const float> values, std::size_t first) {
      for (std::size_t k = 0; k < values.size(); ++k) {
        sum[row.slice_model * width + first + k] += values[k];
        squares[row.slice_model * width + first + k] += double{values[k]} * values[k];
      }
    };
    for (std::int64_t plane = 0; plane < features.planes; ++plane)
      for (std::int64_t variant = 0; variant < features.variants; ++variant) {
        add(features.embedding(row.study, plane, variant), 0);
        add(features.logits_of(row.study, plane, variant),
            static_cast<std::size_t>(features.embedding_width));
        ++count[row.slice_model];
      }
  }
  FeatureScaling scaling;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    const double n = std::max(1.0, count[i / width]), mean = sum[i] / n;
    const double variance = std::max(0.0, squares[i] / n - mean * mean);
    scaling.mean.push_back(static_cast<float>(mean));
    scaling.std.push_back(variance > 1e-12 ? static_cast<float>(std::sqrt(variance)) : 1.0F);
  }
  return scaling;
}

namespace {

// The standardized features of one slice of a row, into the block of its slice model.
void place(const StudyRow& row, std::int64_t plane, std::int64_t variant, const FeatureScaling& scaling,
           float* token) {
  const SliceFeatures& features = *row.features;
  std::size_t at = row.slice_model * static_cast<std::size_t>(features.width());
  for (const auto& values :
       {features.embedding(row.study, plane, variant), features.logits_of(row.study, plane, variant)})
    for (const float value : values) {
      token[at] = (value - scaling.mean[at]) / scaling.std[at];
      ++at;
    }
}

// What the slice model says of the study, as the mean over its slices.
std::array<float, 8> mean_slice_logits(const StudyRow& row, std::int64_t variant) {
  const SliceFeatures& features = *row.features;
  const SliceLabels labels(features.labels);
  std::array<float, 8> mean{};
  for (std::int64_t plane = 0; plane < features.planes; ++plane) {
    const std::array<float, 8> logits = labels.of_study(features.logits_of(row.study, plane, variant));
    for (std::size_t j = 0; j < mean.size(); ++j) mean[j] += logits[j] / static_cast<float>(features.planes);
  }
  return mean;
}

std::int64_t draw_variant(const StudyRow& row, std::size_t index, const RowChanges& changes) {
  const auto variants = static_cast<std::uint64_t>(row.features->variants);
  return static_cast<std::int64_t>(random::bits({changes.seed, kVariant, changes.epoch}, index) * variants >>
                                   32);
}

}  // namespace

StudyBatch make_batch(const StudyData& data, const std::vector<std::size_t>& rows,
                      const FeatureScaling& scaling, Backend& backend, const RowChanges* changes) {
  const std::size_t width = scaling.mean.size();
  const auto planes = static_cast<std::size_t>(data.rows().front().features->planes);
  const auto batch = static_cast<std::int64_t>(rows.size());
  std::vector<float> features(rows.size() * planes * width), slice_logits, targets, weights;
  for (std::size_t b = 0; b < rows.size(); ++b) {
    const StudyRow& row = data.rows()[rows[b]];
    const std::int64_t variant = changes ? draw_variant(row, rows[b], *changes) : 0;
    for (std::size_t plane = 0; plane < planes; ++plane) {
      const bool is_left_out = changes && random::uniform({changes->seed, kPlanes, changes->epoch},
                                                          rows[b] * planes + plane) < changes->plane_dropout;
      if (!is_left_out)
        place(row, static_cast<std::int64_t>(plane), variant, scaling,
              features.data() + (b * planes + plane) * width);
    }
    const std::array<float, 8> mean = mean_slice_logits(row, variant);
    slice_logits.insert(slice_logits.end(), mean.begin(), mean.end());
    targets.insert(targets.end(), row.labels.begin(), row.labels.end());
    // The loss is a mean over labels, the competition's a sum.
    for (const double share : data::exam_weights(row.labels))
      weights.push_back(static_cast<float>(share * 8));
  }
  const Shape table{batch, 8};
  return {
      .features = from_host(
          backend, {batch, static_cast<std::int64_t>(planes), static_cast<std::int64_t>(width)}, features),
      .slice_logits = from_host(backend, table, slice_logits),
      .targets = from_host(backend, table, targets),
      .weights = from_host(backend, table, weights)};
}

std::vector<std::vector<std::size_t>> epoch_batches(std::size_t rows, std::int64_t batch_size,
                                                    std::uint64_t seed, std::uint32_t epoch) {
  const std::vector<std::size_t> order = data::shuffled(rows, {seed, kOrder, epoch});
  std::vector<std::vector<std::size_t>> batches;
  for (std::size_t i = 0; i < rows; i += static_cast<std::size_t>(batch_size))
    batches.emplace_back(order.begin() + static_cast<std::ptrdiff_t>(i),
                         order.begin() + static_cast<std::ptrdiff_t>(
                                             std::min(rows, i + static_cast<std::size_t>(batch_size))));
  return batches;
}

}  // namespace sagitta::apps
