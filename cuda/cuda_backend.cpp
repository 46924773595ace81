#include "cuda/cuda_backend.h"

#include "cuda/check.h"
#include "cuda/graph.h"
#include "cuda/plan_cache.h"
#include "tensor/error.h"

namespace sagitta::cuda {

CudaBackend::CudaBackend(int index, const Options& options)
    : options_(options), context_(index), uploader_(context_) {
  const std::filesystem::path choices =
      options.time_algorithms ? user_cache_directory() : std::filesystem::path();
  blas_ = std::make_unique<Blas>(
      stream(),
      BlasOptions{.tf32 = options.tf32, .time_algorithms = options.time_algorithms, .plan_cache = choices});
  dnn_ = std::make_unique<Dnn>(stream(), DnnOptions{.tf32 = options.tf32,
                                                    .deterministic = options.deterministic,
                                                    .time_algorithms = options.time_algorithms,
                                                    .plan_cache = choices,
                                                    .progress = true});
}

CudaBackend::~CudaBackend() { cudaStreamSynchronize(stream()); }

void CudaBackend::write(const void* host, Tensor& y) {
  require(!context_.capturing(), "cuda: write() inside a captured step would always repeat the first values");
  uploader_.upload(host, y.raw(), y.bytes());
}

void CudaBackend::read(const Tensor& x, void* host) {
  require(!context_.capturing(), "cuda: read() inside a captured step; nothing has been computed yet");
  if (x.bytes() > 0) check(cudaMemcpyAsync(host, x.raw(), x.bytes(), cudaMemcpyDeviceToHost, stream()));
  check(cudaStreamSynchronize(stream()));
}

void CudaBackend::synchronize() { check(cudaStreamSynchronize(stream())); }

std::unique_ptr<Captured> CudaBackend::capture(std::function<void()> work) {
  return std::make_unique<CapturedStep>(std::move(work), context_, allocator_);
}

}  // namespace sagitta::cuda
