#include "apps/train/training_pictures.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <set>

#include "apps/engine/drawing.h"
#include "data/augment.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

constexpr int kMargin = 4, kLine = 12, kColumns = 4;
constexpr std::uint8_t kBackground = 24;
constexpr Color kText{235, 235, 235};

// A square picture, and below it room for `lines` of text.
data::Image framed(const data::Image& picture, int lines) {
  data::Image frame =
      blank_picture(kShownSide + 2 * kMargin, kShownSide + 2 * kMargin + lines * kLine, kBackground);
  paste(frame, data::letterbox(picture, kShownSide), kMargin, kMargin);
  return frame;
}

// Writes words into the frame, in as many lines as it takes, from line `line` on; returns the line after.
int write_words(data::Image& frame, int line, const std::vector<std::string>& words) {
  std::string text;
  const auto flush = [&] {
    if (!text.empty()) draw_text(frame, kMargin, kShownSide + 2 * kMargin + line++ * kLine, text, kText);
    text.clear();
  };
  for (const std::string& word : words) {
    const std::string longer = text.empty() ? word : text + "  " + word;
    if (text_width(longer) > kShownSide) flush();
    text = text.empty() ? word : longer;
  }
  flush();
  return line;
}

// Picture i of a batch as the device makes it out of its bytes.
data::Image seen_picture(const data::Batch& batch, std::size_t i) {
  const auto row_bytes = static_cast<std::size_t>(batch.side) * 3;
  const auto first = batch.pixels.begin() +
                     static_cast<std::ptrdiff_t>(i * row_bytes * static_cast<std::size_t>(batch.side));
  data::Image picture{.width = batch.side,
                      .height = batch.side,
                      .channels = 3,
                      .pixels = {first, first + static_cast<std::ptrdiff_t>(
                                                    row_bytes * static_cast<std::size_t>(batch.side))}};
  const bool is_mirrored = batch.crop[3 * i + 2] != 0;
  if (!is_mirrored) return picture;
  for (int y = 0; y < batch.side; ++y)
    for (int left = 0, right = batch.side - 1; left < right; ++left, --right) {
      std::uint8_t* row = picture.pixels.data() + static_cast<std::size_t>(y) * row_bytes;
      std::swap_ranges(row + 3 * left, row + 3 * left + 3, row + 3 * right);
    }
  return picture;
}

}  // namespace

data::Image batch_picture(const data::Batch& batch, const std::vector<std::string>& names, double floor) {
  std::vector<data::Image> frames;
  const std::size_t count = std::min(kShownOfBatch, static_cast<std::size_t>(batch.size));
  for (std::size_t i = 0; i < count; ++i) {
    constexpr int kLines = 3;
    data::Image frame = framed(seen_picture(batch, i), kLines);
    std::vector<std::string> words;
    for (std::size_t k = 0; k < names.size(); ++k)
      if (const double label = batch.labels[i * names.size() + k]; label > floor + 5e-3)
        words.push_back(fmt::format("{} {:.2f}", names[k], label));
    if (words.empty()) words.emplace_back("no label");
    write_words(frame, 0, words);
    frames.push_back(std::move(frame));
  }
  return without_needless_color(tile(frames, kColumns));
}

std::vector<std::size_t> hardest_rows(const data::SliceSet& slices, const Predictions& predictions,
                                      std::span<const float> pos_weight) {
  require(predictions.rows() == slices.records.size(), "hardest_rows: {} predictions for {} slices",
          predictions.rows(), slices.records.size());
  const std::vector<double> losses = row_losses(predictions, pos_weight);
  std::vector<std::size_t> rows(losses.size()), chosen;
  std::iota(rows.begin(), rows.end(), std::size_t{0});
  std::stable_sort(rows.begin(), rows.end(),
                   [&](std::size_t a, std::size_t b) { return losses[a] > losses[b]; });
  std::set<std::string> studies;
  for (const std::size_t row : rows) {
    if (chosen.size() == kShownHardest) break;
    if (studies.insert(slices.records[row].study).second) chosen.push_back(row);
  }
  return chosen;
}

data::Image hardest_picture(const data::SliceSet& slices, const Predictions& predictions,
                            const std::vector<std::string>& names, std::span<const float> pos_weight) {
  const std::vector<double> losses = row_losses(predictions, pos_weight);
  const std::vector<float> probabilities = predictions.probabilities();
  std::vector<data::Image> frames;
  for (const std::size_t row : hardest_rows(slices, predictions, pos_weight)) {
    constexpr int kLines = 6;
    data::Image frame = framed(data::read_slice(slices, slices.records[row]), kLines);
    std::vector<std::string> truth{"true:"}, alarms{"alarm:"};
    for (std::size_t k = 0; k < names.size(); ++k) {
      const std::size_t at = row * names.size() + k;
      const bool is_true = predictions.targets[at] > 0.5F;
      if (is_true || probabilities[at] >= 0.5F)
        (is_true ? truth : alarms).push_back(fmt::format("{} {:.2f}", names[k], probabilities[at]));
    }
    if (truth.size() == 1) truth.emplace_back("none");
    int line = write_words(frame, 0, {fmt::format("loss {:.2f}", losses[row])});
    line = write_words(frame, line, {data::caption_of(slices.records[row])});
    line = write_words(frame, line, truth);
    if (alarms.size() > 1) write_words(frame, line, alarms);
    frames.push_back(std::move(frame));
  }
  return without_needless_color(tile(frames, kColumns));
}

bool shows_hardest(std::int64_t epoch, bool is_last) {
  return is_last || std::has_single_bit(static_cast<std::uint64_t>(epoch));
}

}  // namespace sagitta::apps
