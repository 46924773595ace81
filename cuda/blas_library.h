// cuBLASLt, opened when the first GPU is and not when the program starts: it is half a gigabyte, and loading
// it takes ten times as long as all else before main, in programs that then compute on the CPU.
// Invariant: there is no BlasLibrary with a function missing.
#pragma once
#include <cublasLt.h>
#include <dlfcn.h>

#include "tensor/error.h"

namespace sagitta::cuda {

class BlasLibrary {
  // Converts to the function pointer that it is assigned to.
  struct Address {
    void* value;
    template <class F>
    operator F*() const {
      return reinterpret_cast<F*>(value);
    }
  };

  static void* open() {
    // As the loader would, and where it was at build time.
    const std::string name = fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR);
    void* library = dlopen(name.c_str(), RTLD_LAZY);
    if (library == nullptr) library = dlopen(SAGITTA_CUBLASLT, RTLD_LAZY);
    require(library != nullptr, "cuda: {} is not found; add its folder to LD_LIBRARY_PATH", name);
    return library;
  }
  Address find(const char* name) const {
    void* const address = dlsym(library_, name);
    require(address != nullptr, "cuda: the installed cuBLASLt has no {}; install that of CUDA {}", name,
            CUBLAS_VER_MAJOR);
    return {address};
  }

  void* const library_ = open();  // before the functions; never closed

  BlasLibrary() = default;

 public:
  // Throws Error the first time, if there is no such library.
  static const BlasLibrary& instance() {
    static const BlasLibrary library;
    return library;
  }

  decltype(cublasLtCreate)* const create = find("cublasLtCreate");
  decltype(cublasLtDestroy)* const destroy = find("cublasLtDestroy");
  decltype(cublasLtGetVersion)* const version = find("cublasLtGetVersion");
  decltype(cublasLtGetStatusName)* const status_name = find("cublasLtGetStatusName");
  decltype(cublasLtGetStatusString)* const status_text = find("cublasLtGetStatusString");
  decltype(cublasLtMatrixLayoutInit_internal)* const init_layout = find("cublasLtMatrixLayoutInit_internal");
  decltype(cublasLtMatmulDescInit_internal)* const init_operation = find("cublasLtMatmulDescInit_internal");
  decltype(cublasLtMatmulDescSetAttribute)* const set_operation = find("cublasLtMatmulDescSetAttribute");
  decltype(cublasLtMatmulPreferenceInit_internal)* const init_preference =
      find("cublasLtMatmulPreferenceInit_internal");
  decltype(cublasLtMatmulPreferenceSetAttribute)* const set_preference =
      find("cublasLtMatmulPreferenceSetAttribute");
  decltype(cublasLtMatmulAlgoGetHeuristic)* const propose = find("cublasLtMatmulAlgoGetHeuristic");
  decltype(cublasLtMatmulAlgoCheck)* const check = find("cublasLtMatmulAlgoCheck");
  decltype(cublasLtMatmul)* const matmul = find("cublasLtMatmul");
};

}  // namespace sagitta::cuda
