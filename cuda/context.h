// Context: one GPU and the two streams that the backend enqueues on, compute and upload.
#pragma once
#include <cuda_runtime.h>

#include <string>

#include "cuda/check.h"
#include "cuda/cuda.h"

namespace sagitta::cuda {

// Whether a capture of the stream is under way: nothing may be read, timed or chosen then.
inline bool is_capturing(cudaStream_t stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream, &status));
  return status != cudaStreamCaptureStatusNone;
}

inline std::string current_device_name() {
  int index = 0;
  check(cudaGetDevice(&index));
  return device_name(index);
}

class Context {
 public:
  explicit Context(int index);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  int index() const { return index_; }
  cudaStream_t stream() const { return stream_; }                // all kernels, in order
  cudaStream_t upload_stream() const { return upload_stream_; }  // host to device copies
  bool capturing() const { return is_capturing(stream_); }

 private:
  int index_;
  cudaStream_t stream_ = nullptr, upload_stream_ = nullptr;
};

}  // namespace sagitta::cuda
