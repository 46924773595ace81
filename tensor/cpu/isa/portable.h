// Compiled in front of every kernel file: what the compiler generates anyway. On processors other than x86
// (NEON is part of every 64-bit ARM), and with compilers that cannot switch the instruction set within a
// file.
#pragma once
#include "tensor/cpu/isa/prelude.h"
#define SAGITTA_ISA portable

// The tile of gemm_kernel.h: 32 registers on 64-bit ARM, at least 16 elsewhere.
namespace sagitta::cpu::inline portable {
#if defined(__aarch64__)
inline constexpr int kVectorBytes = 16, kTileRows = 8, kTileVectors = 3;
#else
inline constexpr int kVectorBytes = 16, kTileRows = 4, kTileVectors = 2;
#endif
}  // namespace sagitta::cpu::inline portable
