#include "apps/train/not_finite.h"

#include "tensor/error.h"

namespace sagitta::apps {

void fail_not_finite(const std::string& what, double value, std::int64_t epoch, std::int64_t step,
                     const RunDirectory& run, const std::string& origin) {
  const std::string checkpoint = run.has_checkpoint() ? "the last good checkpoint is " + run.last().string()
                                                      : "there is no checkpoint yet";
  fail("the {} is {} at epoch {}, step {}: training stopped, {}; try a lower --lr or --clip-norm{}", what,
       value, epoch, step, checkpoint, origin.empty() ? "" : "; where it began: " + origin);
}

}  // namespace sagitta::apps
