// SliceFeatures: what a slice model says of every slice of some studies, computed once and kept in a file.
// Features of a slice are its embedding and its logits. Invariant: a file is used again only for the same
// model, slices and variants; its name and its content both say for which.
#pragma once
#include <functional>
#include <span>

#include "apps/study/slice_model.h"

namespace sagitta::apps {

struct SliceFeatures {
  std::vector<std::string> studies;
  std::int64_t planes = 0;  // slices per study, right to left
  std::int64_t variants =
      1;  // fixed changes under which each slice was looked at (apps/evaluate/test_time.h)
  std::int64_t embedding_width = 0;
  std::vector<std::string> labels;  // of the slice model
  std::vector<float> embeddings;    // [studies, planes, variants, embedding_width]
  std::vector<float> logits;        // [studies, planes, variants, labels]

  std::int64_t width() const { return embedding_width + logit_count(); }
  std::int64_t logit_count() const { return static_cast<std::int64_t>(labels.size()); }
  // Features of one slice, by index of study, plane and variant.
  std::span<const float> embedding(std::size_t study, std::int64_t plane, std::int64_t variant) const;
  std::span<const float> logits_of(std::size_t study, std::int64_t plane, std::int64_t variant) const;
};

// Slices per study. Throws Error naming the first study that has another number than the others.
std::int64_t planes_of(const data::SliceSet& slices);

struct FeatureOptions {
  std::int64_t variants = 1;
  std::int64_t batch_size = 32;
  int threads = 2;
};

// The features of all studies of `slices`. `progress` is told of slices done.
SliceFeatures compute_slice_features(const SliceModel& model, const nn::Context& context,
                                     const data::SliceSet& slices, const FeatureOptions& options,
                                     const std::function<void(std::int64_t)>& progress = {});

// The same, kept: read from `folder` when they are there, else computed and written
// there. A damaged file is computed again.
SliceFeatures slice_features(const SliceModel& model, const nn::Context& context,
                             const data::SliceSet& slices, const FeatureOptions& options,
                             const std::filesystem::path& folder,
                             const std::function<void(std::int64_t)>& progress = {});

}  // namespace sagitta::apps
