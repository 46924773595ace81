// NanGuard: stops at the first op that gives a value that is not finite, and says which one it was.
// A NaN spreads through everything behind it within a step; when the loss shows it, its origin is lost. The
// guard looks at every floating-point output of every op, on any backend, right after the op. That costs
// about one more sweep over all activations, and on a GPU waits for each op: for finding out, not for every
// run.
#pragma once
#include <string>
#include <vector>

#include "apps/observe/call_place.h"

namespace sagitta::apps {

struct NanGuardOptions {
  // Not to look at gradients and their norm: with a loss scale (f16) they overflow now and then by design,
  // and the step is skipped.
  bool skip_gradients = false;
};

class NanGuard final : public BackendObserver {
 public:
  // Attached to the backend as long as it lives; all must outlive it.
  NanGuard(ObservedBackend& backend, const LayerNames& names, const StepPhases& phases,
           const NanGuardOptions& options = {});
  ~NanGuard() override;
  NanGuard(const NanGuard&) = delete;
  NanGuard& operator=(const NanGuard&) = delete;

  void before(const BackendCall& call) override;
  // Throws Error when an output is not finite: the op, its layer and phase, how many such values are in which
  // output, what the inputs looked like, and what to do.
  void after(const BackendCall& call) override;

 private:
  bool is_skipped(const BackendCall& call) const;
  const Operand* bad_output(const BackendCall& call) const;  // null: all are finite
  [[noreturn]] void report(const BackendCall& call, const CallPlace& place, const Operand& output) const;
  std::string advice(const BackendCall& call, const std::string& first_bad) const;

  ObservedBackend& backend_;
  const LayerNames& names_;
  CallPlaces places_;
  NanGuardOptions options_;
  std::vector<std::string_view> bad_before_;  // operands of this call that are updated and were not finite
};

}  // namespace sagitta::apps
