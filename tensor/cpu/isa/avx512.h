// Compiled in front of every kernel file: Intel servers since 2017, AMD since 2022.
#pragma once
#include "tensor/cpu/isa/prelude.h"
#pragma GCC target("avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,f16c,bmi,bmi2,lzcnt,popcnt")
#pragma GCC target("prefer-vector-width=512")
#define SAGITTA_ISA avx512

// The tile of gemm_kernel.h: its accumulators fill the register file but for the loads of B and one broadcast
// of A.
namespace sagitta::cpu::inline avx512 {
inline constexpr int kVectorBytes = 64, kTileRows = 12, kTileVectors = 2;
}
