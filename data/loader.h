// Loader: batches of slices, decoded and augmented by threads ahead of the consumer. They are bytes, a
// quarter of what floats would be to copy to a GPU; Backend::normalize_image makes them a network's input.
// Invariant: the sequence of batches is a function of (slices, options, epoch) only; the number of threads
// changes the speed and nothing else.
#pragma once
#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "data/augment.h"
#include "data/batch.h"
#include "data/mix.h"
#include "data/shuffle.h"
#include "data/slice_set.h"

namespace sagitta::data {

struct LoaderOptions {
  std::int64_t batch_size = 8;
  int image_size = 224;
  bool shuffle = false;          // a new order each epoch
  bool drop_last = false;        // leave out an incomplete last batch (training: fixed shapes)
  std::int64_t max_batches = 0;  // of an epoch; 0: as many as there are
  AugmentOptions augment;
  // Instead of a random change: every slice once with each of these, one after another. Read only once, it
  // fills as many rows of its batch.
  std::vector<Augmentation> variants;
  MixOptions mix;
  double label_smoothing = 0;  // s: a label t becomes (1 - s) t + s / 2, before the mixing
  std::uint64_t seed = 0;
  int threads = 1;
  std::vector<std::size_t> labels;  // which of kLabelNames, in the order of the model's outputs
};

class Loader {
 public:
  // `slices` must outlive the loader.
  Loader(const SliceSet& slices, LoaderOptions options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  std::int64_t batches_per_epoch() const;
  // Begins an epoch at its batch `first_batch` (a resumed run skips what it has seen). Where the loader
  // stands there already, nothing happens: an epoch may be begun early, to have its first batches when they
  // are needed.
  void start(std::int64_t epoch, std::int64_t first_batch = 0);
  // The next batch, or nothing at the end of the epoch. Rethrows what a thread ran into while it loaded this
  // batch (a damaged picture), however far ahead of it that was.
  std::optional<Batch> next();

 private:
  bool stands_at(std::int64_t epoch, std::int64_t batch);
  void stop();
  void work();
  Batch load(std::int64_t batch) const;
  std::size_t variants() const { return std::max<std::size_t>(1, options_.variants.size()); }
  std::size_t rows() const { return slices_.records.size() * variants(); }  // of an epoch

  const SliceSet& slices_;
  LoaderOptions options_;
  std::int64_t epoch_ = 0;
  std::vector<std::size_t> order_;

  std::mutex mutex_;
  std::condition_variable produced_, consumed_;
  std::map<std::int64_t, Batch> ready_;
  std::map<std::int64_t, std::exception_ptr> failures_;
  std::int64_t next_to_load_ = 0, next_to_give_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace sagitta::data
