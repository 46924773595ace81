// CapturedStep: a sequence of backend calls as one CUDA graph.
// The first replay runs the work as it is: libraries load their kernels and algorithms are chosen by timing,
// neither of which can be recorded. The second records it, the later ones only launch the record: one call to
// the driver for a whole training step. Invariant: every replay does the work exactly once, and the memory of
// everything allocated inside belongs to a pool that nobody else uses, since the graph holds its addresses.
#pragma once
#include <functional>
#include <memory>

#include "cuda/allocator.h"
#include "cuda/context.h"
#include "tensor/backend.h"

namespace sagitta::cuda {

class CapturedStep final : public Captured {
 public:
  // Context and allocator must outlive the step.
  CapturedStep(std::function<void()> work, const Context& context, Allocator& allocator);
  ~CapturedStep() override;
  CapturedStep(const CapturedStep&) = delete;
  CapturedStep& operator=(const CapturedStep&) = delete;

  // Throws Error when the work cannot be recorded; never falls back to running it again and again.
  void replay() override;

 private:
  void record();

  std::function<void()> work_;  // empty once recorded
  const Context& context_;
  Allocator& allocator_;
  std::shared_ptr<Allocator::Pool> pool_;
  bool has_run_ = false;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace sagitta::cuda
