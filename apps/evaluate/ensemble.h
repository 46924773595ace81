// Ensemble: trained classifiers whose mean probability is the prediction; one model is an ensemble of one.
// Invariant: all members have the same labels in the same order. They may differ in architecture, input size
// and normalization.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "apps/engine/predictions.h"
#include "tensor/backend.h"

namespace sagitta::apps {

struct ReadingOptions {
  std::int64_t batch_size = 16;
  int threads = 2;
  std::size_t variants = 1;  // of test-time augmentation (apps/evaluate/test_time.h)
  bool quiet = false;        // no progress on stderr
};

class Ensemble {
 public:
  struct Member {
    std::unique_ptr<models::ImageClassifier> model;
    InputOptions input;
  };

  // Reads the model directories. Throws Error when one is no model, or its labels differ from the first
  // one's.
  Ensemble(const std::vector<std::string>& directories, Backend& backend, DType dtype);

  const std::vector<std::size_t>& labels() const { return members_.front().input.loader.labels; }
  // For asking a member alone, in the context that it lives in.
  const std::vector<Member>& members() const { return members_; }
  const nn::Context& context() const { return *context_; }
  // How often each slice is read by predict(): once per input size.
  std::size_t passes() const;

  // One row per slice: the logit of the mean probability over members and variants. Slices are read once per
  // input size. `progress` is told of slices done in all passes.
  Predictions predict(const data::SliceSet& slices, const ReadingOptions& options,
                      const std::function<void(std::int64_t)>& progress = {}) const;

 private:
  std::vector<int> image_sizes() const;  // distinct, in order of appearance

  std::unique_ptr<nn::Context> context_;
  std::vector<Member> members_;
};

}  // namespace sagitta::apps
