// The pictures of a run for TensorBoard: what the network is shown, and what it is most wrong about.
// Invariant: small and few, whatever the data: at most kShownOfBatch + kShownHardest slices of kShownSide
// pixels at a time.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "apps/engine/predictions.h"
#include "data/batch.h"

namespace sagitta::apps {

inline constexpr int kShownSide = 128;
inline constexpr std::size_t kShownOfBatch = 16, kShownHardest = 8;

// The first pictures of a batch as the network sees them but for the normalization: augmented, mixed and
// mirrored; each with the labels that it is to answer with, `names` being those of the columns. A label that
// is not above `floor` (what smoothing makes of 0) is left out.
data::Image batch_picture(const data::Batch& batch, const std::vector<std::string>& names, double floor);

// The rows with the highest loss, the highest first, of each study the highest only. `predictions` has one
// row per record of `slices`; pos_weight as in row_losses().
std::vector<std::size_t> hardest_rows(const data::SliceSet& slices, const Predictions& predictions,
                                      std::span<const float> pos_weight);

// Those slices, read again, each with its loss, the probabilities of the labels that are true, and of those
// that are not and have 0.5 or more.
data::Image hardest_picture(const data::SliceSet& slices, const Predictions& predictions,
                            const std::vector<std::string>& names, std::span<const float> pos_weight);

// Whether the hardest slices are shown after this epoch, from 1: epochs 1, 2, 4, 8, ... and the last one. A
// model changes most in the beginning, and a run of hundreds of epochs leaves about ten pictures.
bool shows_hardest(std::int64_t epoch, bool is_last);

}  // namespace sagitta::apps
