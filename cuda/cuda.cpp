// The public face of a build with the CUDA toolkit.
#include "cuda/cuda.h"

#include <cuda_runtime.h>

#include "cuda/check.h"
#include "cuda/cuda_backend.h"
#include "tensor/error.h"

namespace sagitta::cuda {
namespace {

constexpr int kOldestMajor = 8;  // the first generation with bf16 tensor cores

}  // namespace

int device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();  // no driver is not an error of a later call
  return 0;
}

std::string device_name(int index) {
  cudaDeviceProp properties{};
  return cudaGetDeviceProperties(&properties, index) == cudaSuccess ? properties.name : "unknown GPU";
}

std::string unavailable_reason() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (status == cudaErrorInsufficientDriver)
    return "the NVIDIA driver is missing or older than this build's CUDA toolkit; install or update the "
           "driver";
  if (status != cudaSuccess)
    return fmt::format("CUDA reports '{}'; check `nvidia-smi`", cudaGetErrorString(status));
  if (count == 0) return "there is no NVIDIA GPU in this machine";
  return {};
}

void register_backend(const Options& options) {
  sagitta::register_backend(Device::Kind::cuda, [options](int index) -> Backend& {
    const int count = device_count();
    require(count > 0, "cuda:{}: {}", index, unavailable_reason());
    require(index >= 0 && index < count, "cuda:{}: this machine has {} GPU(s), numbered from 0", index,
            count);
    int major = 0, minor = 0;
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index));
    check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index));
    require(major >= kOldestMajor, "cuda:{}: {} has compute capability {}.{}, expected {}.0 or newer", index,
            device_name(index), major, minor, kOldestMajor);
    // Lives as long as the process: at exit the CUDA runtime may be gone before the table of backends is.
    static CudaBackend& opened = *new CudaBackend(index, options);
    require(opened.device().index == index, "cuda:{}: this process already uses {}; one process per GPU",
            index, opened.device().str());
    return opened;
  });
}

}  // namespace sagitta::cuda
