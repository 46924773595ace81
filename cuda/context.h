// Context: one GPU and the two streams that the backend enqueues on, compute and upload.
#pragma once
#include <cuda_runtime.h>

#include <string>

namespace sagitta::cuda {

class Context {
 public:
  explicit Context(int index);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  int index() const { return index_; }
  cudaStream_t stream() const { return stream_; }                // all kernels, in order
  cudaStream_t upload_stream() const { return upload_stream_; }  // host to device copies
  // Whether a capture of stream() is under way: nothing may be read, timed or chosen then.
  bool capturing() const;

 private:
  int index_;
  cudaStream_t stream_ = nullptr, upload_stream_ = nullptr;
};

}  // namespace sagitta::cuda
