// CUDA's function and variable qualifiers for a C++ compiler.
// A block runs alone in the process, so a `static` is what a block shares. Unlike dynamic shared memory it is
// not refilled with garbage for every block: what an earlier block left there can hide a missing
// initialization.
#pragma once

#define __global__
#define __device__
#define __host__
#define __constant__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))
