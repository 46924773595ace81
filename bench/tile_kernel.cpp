#include "bench/tile_kernel.h"

#include "tensor/cpu/gemm_pack.h"

namespace sagitta::bench::inline SAGITTA_ISA {

namespace {

template <class T>
void run_tile(const TileProduct<T>& product, long times) {
  const cpu::TileColumns<T> a{product.a, product.rows};
  const cpu::TileB<T> b{product.b, product.columns};
  const cpu::TileC<T> c{product.c, 0, product.rows, product.columns, false};
  for (long i = 0; i < times; ++i)
    cpu::multiply_tile<T, cpu::kTileRows, cpu::kTileVectors>(product.depth, a, b, c, cpu::FetchNothing());
}

template <class T>
constexpr TileKernel<T> kernel() {
  return {cpu::kTileRows, cpu::kTileColumns<T>, run_tile<T>};
}

}  // namespace

extern const TileKernels kTileKernels;
constexpr TileKernels kTileKernels{cpu::kMaxDepth, cpu::kVectorBytes, kernel<float>(), kernel<double>()};

}  // namespace sagitta::bench::inline SAGITTA_ISA
