// check: turns a failing CUDA runtime call into an Error that names the place of the call.
// A kernel that went wrong reports at a later call, so the place is where it was noticed.
#pragma once
#include <cuda_runtime.h>

#include <source_location>

#include "tensor/error.h"

namespace sagitta::cuda {

inline void check(cudaError_t status, std::source_location where = std::source_location::current()) {
  if (status == cudaSuccess) return;
  fail("cuda: {} ({}), noticed in {} at {}:{}", cudaGetErrorString(status), cudaGetErrorName(status),
       where.function_name(), where.file_name(), where.line());
}

}  // namespace sagitta::cuda
