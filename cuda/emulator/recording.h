// Stream capture on the emulated device: what is enqueued while a stream is capturing is kept, not done, and
// a launched graph does it again. So a captured step that bakes in a value it should read from device memory,
// or an address that is no longer its own, computes something wrong here as it would on a GPU.
#pragma once
#include <functional>
#include <utility>

#include "cuda/emulator/runtime_api.h"

struct CUgraph_st;
struct CUgraphExec_st;
using cudaGraph_t = CUgraph_st*;
using cudaGraphExec_t = CUgraphExec_st*;
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal = 0,
  cudaStreamCaptureModeThreadLocal = 1,
  cudaStreamCaptureModeRelaxed = 2,
};

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);

namespace sagitta::cuda::emulator {

// Whether `stream` is capturing.
bool is_recording(cudaStream_t stream);
void record(std::function<void()> work);

// Does `work` now or, while `stream` is capturing, keeps a copy of it. It must own or outlive all it uses,
// except device memory.
template <class Work>
void enqueue(cudaStream_t stream, Work&& work) {
  if (is_recording(stream))
    record(std::forward<Work>(work));
  else
    work();
}

}  // namespace sagitta::cuda::emulator
