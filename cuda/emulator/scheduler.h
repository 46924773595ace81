// The emulated device: runs the threads of a grid on fibers, one block after another, inside launch().
// A fiber runs thread after thread until one has to wait, so a kernel without barriers never switches stacks.
// Between two barriers the threads of a block run one by one in an order that the schedule decides; a kernel
// is right when every schedule gives the same result. Mistakes that would hang or confuse a GPU abort the
// process with one line: threads waiting at different barriers, a warp operation without all its lanes, a
// deadlock.
//
// As on a GPU, a thread that has returned counts as arrived at every later barrier, and is left out of warp
// operations; what other lanes read from it is garbage. Blocks must not wait for each other.
#pragma once
#include <cstddef>
#include <source_location>

#include "cuda/emulator/schedule.h"
#include "cuda/emulator/vector_types.h"

// The built-in variables of the running thread.
inline uint3 threadIdx{};
inline uint3 blockIdx{};
inline dim3 blockDim;
inline dim3 gridDim;
inline constexpr int warpSize = 32;

namespace sagitta::cuda::emulator {

// Runs body(argument) for every thread of the grid and returns when all are done. An empty grid runs nothing.
// Throws Error where a launch on a GPU of compute capability 9.0 would fail.
void run_grid(dim3 grid, dim3 block, std::size_t shared_bytes, void (*body)(const void*),
              const void* argument);

// ---- called from kernels, through the functions that cuda_runtime.h declares

// The dynamic shared memory of the running block, filled with 0xFF (NaN) when the block starts.
void* block_memory();

// Waits for all threads of the block and orders their memory accesses. Returns for how many of them
// `predicate` held.
int join_block(bool predicate, std::source_location where);

// Waits for the lanes of the warp that `mask` names. The last one to arrive calls
// combine(records, lanes): records[i] is what lane i gave (usually a struct on its stack, where the result
// goes as well), and `lanes` names those that take part. Memory accesses are not ordered unless
// `orders_memory`.
using Combine = void (*)(void* const* records, unsigned lanes);
void join_warp(unsigned mask, Combine combine, void* record, bool orders_memory, std::source_location where);

// The lane number 0..31 of the running thread.
unsigned lane();

// Orders memory accesses before it against those after a later fence of any thread.
void fence();

}  // namespace sagitta::cuda::emulator
