// The end of a run whose numbers are not finite any more, in the same words whatever is trained.
#pragma once
#include <cstdint>
#include <string>

#include "apps/engine/run_directory.h"

namespace sagitta::apps {

// Throws Error: the run's `what` ("loss") is `value` at this epoch and step, from 1; which checkpoint is the
// last good one, and what to try; `origin`, where it is known, says what began it and what to do about that.
[[noreturn]] void fail_not_finite(const std::string& what, double value, std::int64_t epoch,
                                  std::int64_t step, const RunDirectory& run, const std::string& origin = "");

}  // namespace sagitta::apps
