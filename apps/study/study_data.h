// StudyData: the studies of one part as a study model reads them, and batches of them.
// A row is what one slice model says of one study; a study with several slice models has several rows.
// Invariant: a batch is a function of the data and of (seed, epoch) only.
#pragma once
#include <cstdint>
#include <vector>

#include "apps/study/slice_features.h"
#include "data/slice_set.h"
#include "models/study_model.h"

namespace sagitta::apps {

// Subtracted from features and what they are divided by, [slice models, features of a slice]: mean and
// standard deviation over the training slices, so that no feature rules by its unit. A feature that is
// constant is divided by 1.
struct FeatureScaling {
  std::vector<float> mean, std;
};

struct StudyRow {
  const SliceFeatures* features = nullptr;
  std::size_t study = 0;  // index in the features
  std::size_t slice_model = 0;
  std::size_t group = 0;  // rows of one study share it
  std::array<float, 8> labels{};
};

class StudyData {
 public:
  // `slices` names the studies, in whose order groups are numbered, and their labels. `features[m]` are slice
  // model m's: of all these studies, or of those for which it gives rows. It must outlive this. Throws Error
  // when a study has no row.
  StudyData(const data::SliceSet& slices, const std::vector<SliceFeatures>& features);

  const std::vector<StudyRow>& rows() const { return rows_; }
  std::size_t studies() const { return studies_.size(); }
  const std::vector<std::string>& study_names() const { return studies_; }
  FeatureScaling scaling() const;

 private:
  std::vector<std::string> studies_;
  std::vector<StudyRow> rows_;
  std::size_t slice_models_;
};

// How a row is changed at random while training.
struct RowChanges {
  double plane_dropout = 0;  // probability that all a token says is left out
  std::uint64_t seed = 0;
  std::uint32_t epoch = 0;
};

// What a step takes, on the device.
struct StudyBatch {
  Tensor features;      // f32 [B,T,F], as StudyModel takes them
  Tensor slice_logits;  // f32 [B,8], the mean over the planes
  Tensor targets;       // f32 [B,8]
  Tensor weights;  // f32 [B,8]: with them the mean over all elements is the competition's loss of these rows
};

// The rows of these indices; without `changes` as they are, in the first variant.
StudyBatch make_batch(const StudyData& data, const std::vector<std::size_t>& rows,
                      const FeatureScaling& scaling, Backend& backend, const RowChanges* changes = nullptr);

// Row indices of each batch of an epoch, in a random order; the last one may be smaller.
std::vector<std::vector<std::size_t>> epoch_batches(std::size_t rows, std::int64_t batch_size,
                                                    std::uint64_t seed, std::uint32_t epoch);

}  // namespace sagitta::apps
