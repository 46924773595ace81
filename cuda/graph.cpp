#include "cuda/graph.h"

#include <utility>

#include "cuda/check.h"

namespace sagitta::cuda {

CapturedStep::CapturedStep(std::function<void()> work, const Context& context, Allocator& allocator)
    : work_(std::move(work)), context_(context), allocator_(allocator), pool_(allocator.make_pool()) {}

CapturedStep::~CapturedStep() {
  cudaStreamSynchronize(context_.stream());  // a launched graph may still be running
  if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
}

void CapturedStep::replay() {
  if (!has_run_) {
    const Allocator::PoolScope scope(allocator_, *pool_);
    work_();
    has_run_ = true;
    allocator_.trim(*pool_);  // the workspaces of algorithms that were only tried
    return;
  }
  if (executable_ == nullptr) record();
  check(cudaGraphLaunch(executable_, context_.stream()));
}

void CapturedStep::record() {
  const Allocator::PoolScope scope(allocator_, *pool_);
  // Relaxed: the pool grows meanwhile, and cudaMalloc must be allowed to.
  check(cudaStreamBeginCapture(context_.stream(), cudaStreamCaptureModeRelaxed));
  cudaGraph_t graph = nullptr;
  try {
    work_();
  } catch (...) {
    // The stream must leave its capturing state; the error that matters is the one under way.
    if (cudaStreamEndCapture(context_.stream(), &graph) == cudaSuccess) cudaGraphDestroy(graph);
    throw;
  }
  check(cudaStreamEndCapture(context_.stream(), &graph));
  const cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
  cudaGraphDestroy(graph);
  check(status);
  work_ = nullptr;
}

}  // namespace sagitta::cuda
