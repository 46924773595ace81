#include "cuda/context.h"

#include "cuda/check.h"

namespace sagitta::cuda {

Context::Context(int index) : index_(index) {
  check(cudaSetDevice(index));
  // Non-blocking: neither waits for, nor is waited for by, whatever another library does on the legacy
  // stream.
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  check(cudaStreamCreateWithFlags(&upload_stream_, cudaStreamNonBlocking));
}

Context::~Context() {
  cudaStreamDestroy(upload_stream_);
  cudaStreamDestroy(stream_);
}

}  // namespace sagitta::cuda
