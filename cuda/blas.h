// Blas: matrix products on the GPU; the only door to cuBLASLt (blas.cpp), closed to its types.
// Every tensor here is row-major, as everywhere. For each kind of product (extents, transpositions, dtype,
// extras, alignment) the library proposes several algorithms; they are timed once and the fastest is kept.
// Invariant: sums run in f32 and in a fixed order, so a product computed by the same algorithm has the same
// bits every time; the plan cache keeps the choice from one run to the next.
#pragma once
#include <cuda_runtime.h>

#include <filesystem>
#include <memory>

#include "tensor/op_params.h"
#include "tensor/tensor.h"

namespace sagitta::cuda {

struct BlasOptions {
  bool tf32 = false;            // f32 products on tensor cores, with 10 bits of mantissa
  bool time_algorithms = true;  // false: the library's first guess
  // Where choices are kept, usually user_cache_directory() of plan_cache.h; empty: not on disk.
  std::filesystem::path plan_cache;
};

// y = op(a) op(b), all of one dtype (f32, bf16, f16), no extent 0. At most one of bias and row_sums.
struct Product {
  MatmulParams params;
  Tensor a;                 // [M,K]; transposed: [K,M]
  Tensor b;                 // [K,N]; transposed: [N,K]
  Tensor y;                 // [M,N]
  bool accumulate = false;  // y += instead of y =
  Tensor bias = {};         // [N], added to every row of y; may be empty
  // [M], receives the sum over k of op(a), or empty. With a = dy transposed, as in the weight gradient
  // dy^T x, these are the column sums of dy: the bias gradient, without reading dy a second time.
  Tensor row_sums = {};
};

class Blas {
 public:
  // Enqueues on `stream` of the current device, which stays the caller's.
  Blas(cudaStream_t stream, const BlasOptions& options);
  ~Blas();
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;

  // Enqueues the product; false, with nothing done, when there is no algorithm. For plain products of every
  // shape there is one; with bias or row_sums it depends on dtype and alignment, and the caller then computes
  // those by a kernel of its own.
  // The first product of its kind waits for the stream while algorithms are timed. During a capture nothing
  // can be timed, and it throws Error.
  bool try_run(const Product& product);
  // The same, but throws Error when there is no algorithm.
  void run(const Product& product);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sagitta::cuda
