// cuBLASLt is opened when it is first needed, and not before.
#include <doctest/doctest.h>

#include <cstdint>
#include <fstream>
#include <string>

#include "cuda/blas_library.h"
#include "cuda/cuda.h"

using sagitta::cuda::BlasLibrary;

namespace {

bool is_loaded() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.find("cublasLt") != std::string::npos) return true;
  return false;
}

}  // namespace

TEST_CASE(
    "cuBLASLt: not loaded by a program that does not compute on a GPU; all functions found when it is") {
  sagitta::cuda::register_backend({});
  CHECK_FALSE(is_loaded());

  const BlasLibrary& library = BlasLibrary::instance();
  CHECK(is_loaded());
  CHECK(library.version() / 10000 == CUBLAS_VER_MAJOR);
  CHECK(std::string(library.status_name(CUBLAS_STATUS_SUCCESS)) == "CUBLAS_STATUS_SUCCESS");
}

TEST_CASE("cuBLASLt: descriptions of a product can be made, which needs no GPU") {
  const BlasLibrary& library = BlasLibrary::instance();
  cublasLtMatrixLayoutOpaque_t layout;
  CHECK(library.init_layout(&layout, sizeof layout, CUDA_R_32F, 2, 3, 2) == CUBLAS_STATUS_SUCCESS);
  cublasLtMatmulDescOpaque_t operation;
  CHECK(library.init_operation(&operation, sizeof operation, CUBLAS_COMPUTE_32F, CUDA_R_32F) ==
        CUBLAS_STATUS_SUCCESS);
  const cublasOperation_t transpose = CUBLAS_OP_T;
  CHECK(library.set_operation(&operation, CUBLASLT_MATMUL_DESC_TRANSA, &transpose, sizeof transpose) ==
        CUBLAS_STATUS_SUCCESS);
  cublasLtMatmulPreferenceOpaque_t preference;
  CHECK(library.init_preference(&preference, sizeof preference) == CUBLAS_STATUS_SUCCESS);
  const std::uint64_t bytes = 1 << 20;
  CHECK(library.set_preference(&preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes) ==
        CUBLAS_STATUS_SUCCESS);
}
