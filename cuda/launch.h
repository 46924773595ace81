// launch: the only way to start a kernel, and dynamic_shared: the only way to its dynamic shared memory.
// For .cu files only. nvcc makes it a CUDA launch; a C++ compiler runs the same kernel on the emulated device
// (cuda/emulator), where it has finished when launch returns (a captured one: when the graph does).
#pragma once
#include <cuda_runtime.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <tuple>
#include <utility>

#include "cuda/check.h"
#include "tensor/error.h"

#ifndef __CUDACC__
#include "cuda/emulator/recording.h"
#include "cuda/emulator/scheduler.h"
#endif

namespace sagitta::cuda {

// The blocks of a launch, which also remembers the place in the source for error messages.
struct Grid {
  dim3 blocks;
  std::source_location where;
  Grid(dim3 extents, std::source_location place = std::source_location::current())
      : blocks(extents), where(place) {}
  template <std::integral Extent>
  Grid(Extent extent, std::source_location place = std::source_location::current())
      : blocks(static_cast<unsigned>(extent)), where(place) {
    require(static_cast<std::uint64_t>(extent) <= 0x7FFFFFFF,
            "launch: grid is {}, expected 0 to 2147483647 blocks", extent);
  }
  bool empty() const { return blocks.x == 0 || blocks.y == 0 || blocks.z == 0; }
};

#ifdef __CUDACC__

// Enqueues kernel(args...) on the stream; the arguments are converted to the parameters' types. An empty grid
// starts nothing. Throws Error when the launch is refused.
template <class... Parameters, class... Args>
void launch(void (*kernel)(Parameters...), Grid grid, dim3 block, std::size_t shared_bytes,
            cudaStream_t stream, Args&&... args) {
  static_assert(sizeof...(Parameters) == sizeof...(Args));
  if (grid.empty()) return;
  const auto* const function = reinterpret_cast<const void*>(kernel);
  // More than 48 KiB per block must be asked for.
  if (shared_bytes > (48U << 10))
    check(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          grid.where);
  std::tuple<Parameters...> values(static_cast<Parameters>(std::forward<Args>(args))...);
  std::apply(
      [&](auto&... value) {
        void* pointers[] = {&value..., nullptr};
        check(cudaLaunchKernel(function, grid.blocks, block, pointers, shared_bytes, stream), grid.where);
      },
      values);
}

// The dynamic shared memory of the running block as elements of T.
template <class T>
__device__ inline T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char sagitta_dynamic_shared[];
  return reinterpret_cast<T*>(sagitta_dynamic_shared);
}

#else

template <class... Parameters, class... Args>
void launch(void (*kernel)(Parameters...), Grid grid, dim3 block, std::size_t shared_bytes,
            cudaStream_t stream, Args&&... args) {
  static_assert(sizeof...(Parameters) == sizeof...(Args));
  if (grid.empty()) return;
  // By value: a captured launch happens when the graph does.
  const std::tuple<Parameters...> values(static_cast<Parameters>(std::forward<Args>(args))...);
  emulator::enqueue(stream, [=, blocks = grid.blocks] {
    const auto run_thread = [&] { std::apply(kernel, values); };
    emulator::run_grid(
        blocks, block, shared_bytes,
        [](const void* thread) { (*static_cast<const decltype(run_thread)*>(thread))(); }, &run_thread);
  });
}

template <class T>
T* dynamic_shared() {
  return static_cast<T*>(emulator::block_memory());
}

#endif

}  // namespace sagitta::cuda
