#include "cuda/emulator/recording.h"

#include <optional>
#include <vector>

using Work = std::vector<std::function<void()>>;

struct CUgraph_st {
  Work work;
};
struct CUgraphExec_st {
  Work work;
};

namespace {

// There is one host thread that enqueues and one stream that captures at a time.
struct Recording {
  cudaStream_t stream = nullptr;
  std::optional<Work> work;
};

Recording& recording() {
  static Recording instance;
  return instance;
}

}  // namespace

namespace sagitta::cuda::emulator {

bool is_recording(cudaStream_t stream) { return recording().work && recording().stream == stream; }

void record(std::function<void()> work) { recording().work->push_back(std::move(work)); }

}  // namespace sagitta::cuda::emulator

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (recording().work) return cudaErrorInvalidValue;
  recording() = {stream, Work()};
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (!sagitta::cuda::emulator::is_recording(stream)) return cudaErrorInvalidValue;
  *graph = new CUgraph_st{std::move(*recording().work)};
  recording().work.reset();
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = sagitta::cuda::emulator::is_recording(stream) ? cudaStreamCaptureStatusActive
                                                          : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = new CUgraphExec_st{graph->work};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
  for (const auto& work : executable->work) work();
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
