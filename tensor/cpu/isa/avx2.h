// Compiled in front of every kernel file: Intel since 2013, AMD since 2015.
#pragma once
#include "tensor/cpu/isa/prelude.h"
#pragma GCC target("avx2,fma,f16c,bmi,bmi2,lzcnt,popcnt")
#define SAGITTA_ISA avx2

// The tile of gemm_kernel.h: its accumulators fill the register file but for the loads of B and one broadcast
// of A.
namespace sagitta::cpu::inline avx2 {
inline constexpr int kVectorBytes = 32, kTileRows = 4, kTileVectors = 3;
}
