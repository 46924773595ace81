// Mixing the pictures of a batch with each other: mixup (Zhang et al., 2018) and CutMix (Yun et al., 2019).
// Invariant: picture i is mixed with picture size-1-i, as drawn from `key` only; pictures and labels are
// mixed in the same proportion, seen as the network sees them, that is after Backend::normalize_image has
// mirrored them.
#pragma once
#include "data/batch.h"
#include "data/counter_random.h"

namespace sagitta::data {

struct MixOptions {
  double mixup = 0;   // alpha of the Beta(alpha, alpha) that the proportion is drawn from; 0: no mixup
  double cutmix = 0;  // the same for the area; with both, every pair is mixed by the one or the other

  bool any() const { return mixup > 0 || cutmix > 0; }
};

void mix(Batch& batch, const MixOptions& options, random::Key key);

// A number of the distribution Beta(alpha, alpha), alpha > 0.
double symmetric_beta(double alpha, CounterRandom& random);

}  // namespace sagitta::data
