#include "data/loader.h"

#include <sched.h>

#include <algorithm>
#include <numeric>

#include "tensor/error.h"

namespace sagitta::data {
namespace {

// Random streams of the loader, apart from each other and from the layers' (small numbers).
constexpr std::uint32_t kShuffleStream = 0xDA7A0000u;
constexpr std::uint32_t kAugmentStream = 0xDA7B0000u;
constexpr std::uint32_t kMixStream = 0xDA7F0000u;

}  // namespace

Loader::Loader(const SliceSet& slices, LoaderOptions options)
    : slices_(slices), options_(std::move(options)) {
  require(options_.batch_size >= 1 && options_.image_size >= 1,
          "loader: batch size {} and image size {}, expected >= 1", options_.batch_size, options_.image_size);
  for (std::size_t label : options_.labels)
    require(label < kLabelNames.size(), "loader: label {} does not exist", label);
}

Loader::~Loader() { stop(); }

std::int64_t Loader::batches_per_epoch() const {
  const auto count = static_cast<std::int64_t>(rows());
  const std::int64_t all = options_.drop_last ? count / options_.batch_size
                                              : (count + options_.batch_size - 1) / options_.batch_size;
  return options_.max_batches > 0 ? std::min(all, options_.max_batches) : all;
}

void Loader::start(std::int64_t epoch, std::int64_t first_batch) {
  if (stands_at(epoch, first_batch)) return;
  stop();
  epoch_ = epoch;
  order_ = shuffled(rows(), {options_.seed, kShuffleStream, static_cast<std::uint32_t>(epoch)});
  if (!options_.shuffle) std::iota(order_.begin(), order_.end(), std::size_t{0});
  next_to_load_ = next_to_give_ = first_batch;
  stopping_ = false;
  for (int i = 0; i < std::max(1, options_.threads); ++i) threads_.emplace_back([this] { work(); });
}

bool Loader::stands_at(std::int64_t epoch, std::int64_t batch) {
  const std::lock_guard lock(mutex_);
  return !threads_.empty() && !stopping_ && epoch == epoch_ && batch == next_to_give_;
}

std::optional<Batch> Loader::next() {
  if (next_to_give_ >= batches_per_epoch()) return std::nullopt;
  std::unique_lock lock(mutex_);
  produced_.wait(lock, [&] { return failures_.contains(next_to_give_) || ready_.contains(next_to_give_); });
  if (const auto failure = failures_.find(next_to_give_); failure != failures_.end())
    std::rethrow_exception(failure->second);
  Batch batch = std::move(ready_.extract(next_to_give_).mapped());
  ++next_to_give_;
  lock.unlock();  // or who is woken would wait for the lock at once
  consumed_.notify_one();
  return batch;
}

void Loader::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  consumed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  ready_.clear();
  failures_.clear();
}

void Loader::work() {
  // Where training computes on the same processors, a thread that is woken to load must not push it aside.
  const sched_param priority{};
  sched_setscheduler(0, SCHED_BATCH, &priority);
  // Two batches ahead per thread: enough to hide a slow one, little memory.
  const auto ahead = static_cast<std::int64_t>(2 * std::max(1, options_.threads));
  while (true) {
    std::int64_t batch = 0;
    {
      std::unique_lock lock(mutex_);
      consumed_.wait(lock, [&] { return stopping_ || next_to_load_ < next_to_give_ + ahead; });
      if (stopping_ || next_to_load_ >= batches_per_epoch()) return;
      batch = next_to_load_++;
    }
    try {
      Batch loaded = load(batch);
      const std::lock_guard lock(mutex_);
      ready_.emplace(batch, std::move(loaded));
    } catch (...) {
      const std::lock_guard lock(mutex_);
      failures_.emplace(batch, std::current_exception());
      stopping_ = true;
    }
    produced_.notify_all();
  }
}

Batch Loader::load(std::int64_t batch) const {
  const auto begin = static_cast<std::size_t>(batch * options_.batch_size);
  const std::size_t end = std::min(rows(), begin + static_cast<std::size_t>(options_.batch_size));
  const std::size_t per_image = static_cast<std::size_t>(options_.image_size) * options_.image_size * 3;
  Batch result;
  result.size = static_cast<std::int64_t>(end - begin);
  result.side = options_.image_size;
  result.pixels.resize((end - begin) * per_image);
  Image square;
  for (std::size_t i = begin; i < end; ++i) {
    const std::size_t index = order_[i] / variants();
    const SliceRecord& record = slices_.records[index];
    // Keyed by the slice, not by its place in the epoch: the same slice gets the same change whatever the
    // batch size.
    const random::Key key{options_.seed, kAugmentStream + static_cast<std::uint32_t>(epoch_),
                          static_cast<std::uint32_t>(index)};
    const bool is_read = !result.records.empty() && result.records.back() == index;
    if (!is_read) square = letterbox(read_slice(slices_, record), options_.image_size);
    const Augmentation drawn =
        options_.variants.empty() ? draw(options_.augment, key) : options_.variants[order_[i] % variants()];
    augment(square, drawn, std::span(result.pixels).subspan((i - begin) * per_image, per_image));
    result.crop.insert(result.crop.end(), {0, 0, drawn.flip ? 1 : 0});
    const auto smoothing = static_cast<float>(options_.label_smoothing);
    for (std::size_t label : options_.labels)
      result.labels.push_back((1 - smoothing) * record.labels[label] + smoothing / 2);
    result.records.push_back(index);
  }
  mix(result, options_.mix,
      {options_.seed, kMixStream + static_cast<std::uint32_t>(epoch_), static_cast<std::uint32_t>(batch)});
  return result;
}

}  // namespace sagitta::data
