// DnnRunner: runs problems on one GPU, each by the plan that was the fastest when it was first met.
// Invariant: a problem is timed at most once per process, and once per GPU and version of cuDNN as long as
// the plan cache is kept; so a run that is started again computes the same bits.
#pragma once
#include <cuda_runtime.h>
#include <cudnn.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cuda/dnn.h"
#include "cuda/dnn_plan.h"
#include "cuda/plan_cache.h"
#include "tensor/tensor.h"

namespace sagitta::cuda {

// The memory and numbers of one call, by the uids of the problem's graph.
struct DnnCall {
  struct Operand {
    std::int64_t uid = 0;
    Tensor tensor;
    std::int64_t offset = 0;  // of the first element, where several operands are parts of one tensor
    bool written = false;
  };
  struct Scalar {
    std::int64_t uid = 0;
    float value = 0;
  };
  std::vector<Operand> operands;
  std::vector<Scalar> scalars;
};

class DnnRunner {
 public:
  DnnRunner(cudaStream_t stream, const DnnOptions& options);

  // Enqueues the problem. Throws Error when cuDNN has no plan for it, when memory is not aligned
  // (cuda/alignment.h), or when it is new during a capture.
  void run(const Problem& problem, const EngineRules& rules, const DnnCall& call);

 private:
  class Handle {
   public:
    explicit Handle(cudaStream_t stream);
    ~Handle() { cudnnDestroy(handle_); }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    operator cudnnHandle_t() const { return handle_; }

   private:
    cudnnHandle_t handle_ = nullptr;
  };

  void execute(const Plan& plan, const DnnCall& call);
  Plan make(const Problem& problem, const EngineRules& rules, const DnnCall& call, const std::string& key);
  // The plan of the choice in the cache; empty when there is none, or none that still works.
  std::optional<Plan> remembered(const std::shared_ptr<const FinishedGraph>& graph, const EngineRules& rules,
                                 const std::string& key) const;
  // The fastest plan, by running each on the inputs of the call, which waits for the stream; or the first.
  Plan timed(const std::shared_ptr<const FinishedGraph>& graph, const EngineRules& rules, const DnnCall& call,
             const std::string& key);
  void announce();

  cudaStream_t stream_;
  Handle handle_;
  PlanTarget target_;
  PlanCache cache_;
  bool time_algorithms_;
  bool silent_;
  std::map<std::string, Plan> plans_;
};

}  // namespace sagitta::cuda
