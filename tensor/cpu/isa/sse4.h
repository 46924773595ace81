// Compiled in front of every kernel file: the baseline of x86-64 processors since 2008.
#pragma once
#include "tensor/cpu/isa/prelude.h"
#pragma GCC target("sse4.2,popcnt")
#define SAGITTA_ISA sse4

// The tile of gemm_kernel.h: its accumulators fill the register file but for the loads of B and one broadcast
// of A.
namespace sagitta::cpu::inline sse4 {
inline constexpr int kVectorBytes = 16, kTileRows = 4, kTileVectors = 2;
}
