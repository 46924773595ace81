#include "apps/train/not_finite.h"

#include <cmath>

#include "tensor/error.h"

namespace sagitta::apps {

void fail_not_finite(const std::string& what, double value, std::int64_t epoch, std::int64_t step,
                     const RunDirectory& run, const std::string& origin) {
  const std::string checkpoint = run.has_checkpoint() ? "the last good checkpoint is " + run.last().string()
                                                      : "there is no checkpoint yet";
  const char* shown = std::isnan(value) ? "NaN" : value > 0 ? "Inf" : "-Inf";
  fail("the {} is {} at epoch {}, step {}: training stopped, {}; {}", what, shown, epoch, step, checkpoint,
       origin.empty() ? "try a lower --lr or --clip-norm" : "where it began: " + origin);
}

}  // namespace sagitta::apps
