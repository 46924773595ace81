// The innermost loop of all products, multiply_tile (tensor/cpu/gemm_kernel.h), by itself. tile_kernel.cpp is
// a kernel file (tensor/cpu/isa.h): the build compiles it once per instruction set, as it does the library,
// and writes the table of them (tile_kernels.cpp.in). tile_speed.h measures them.
#pragma once
#include <cstdint>
#include <string_view>

namespace sagitta::bench {

// One tile of C = A B from packed panels. The extents are handed over at run time, as a product does: known
// to the compiler, they would give another loop than the library's.
template <class T>
struct TileProduct {
  int rows, columns;
  std::int64_t depth;
  const T *a, *b;  // panels [depth][rows], [depth][columns]
  T* const* c;     // the rows of C
};

template <class T>
struct TileKernel {
  int rows, columns;  // of a whole tile
  void (*run)(const TileProduct<T>& product, long times);
};

struct TileKernels {
  std::int64_t longest_depth;  // of a product's panels
  int vector_bytes;
  TileKernel<float> f32;
  TileKernel<double> f64;
};

// Those of one of this build's instruction sets, which this processor must have.
const TileKernels& tile_kernels(std::string_view isa);

}  // namespace sagitta::bench
