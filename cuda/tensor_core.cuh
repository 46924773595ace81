// Tensor-core primitives of one warp: loading 8x8 tiles from shared memory into registers, and the matrix
// product D[16,8] = A[16,16] B[16,8] + D with 16-bit inputs and float sums. All 32 lanes call them together.
// nvcc gets PTX; the emulated bodies (cuda/emulator/tensor_core.h) move the same bits between the same lanes.
//
// Fragments (PTX ISA, "Matrix fragments for mma.m16n8k16"). Lane l, group g = l / 4, position t = l % 4; each
// 32-bit register holds two neighboring elements, the lower column (of A, D) or row (of B) in its low half:
//
//   A, row-major [16,16]                B [16,8], by columns             D, float [16,8]
//             k 0..7       k 8..15                 n = g                           n = 2t, 2t+1
//   row g     a[0] 2t,+1   a[2] 2t+8,+9   k 2t,+1      b0                row g     d[0]   d[1]
//   row g+8   a[1] 2t,+1   a[3] 2t+8,+9   k 2t+8,+9    b1                row g+8   d[2]   d[3]
//
// Hence: two neighboring D tiles, rounded and packed, are an A fragment: a = {d[0],d[1]}, {d[2],d[3]} of the
// left tile and of the right one. That is how attention multiplies its softmax without touching shared
// memory.
//
// ldmatrix: matrix i is 8 rows of 16 bytes at the addresses that lanes 8i..8i+7 give (aligned to 16 bytes;
// free of bank conflicts when the eight rows fall into different 16-byte banks modulo 128 bytes). Register i
// of lane l receives row g, columns 2t and 2t+1 of matrix i; transposed: rows 2t and 2t+1 of column g.
#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <source_location>
#include <type_traits>

#ifndef __CUDACC__
#include "cuda/emulator/tensor_core.h"
#endif

namespace sagitta::cuda {

// Rounds two floats to T and packs them as the tensor cores want them: `low` in the low half.
template <class T>
__device__ inline std::uint32_t pack2(float low, float high);

template <>
__device__ inline std::uint32_t pack2<__nv_bfloat16>(float low, float high) {
  const std::uint32_t upper = __bfloat16_as_ushort(__float2bfloat16_rn(high));
  return upper << 16 | __bfloat16_as_ushort(__float2bfloat16_rn(low));
}
template <>
__device__ inline std::uint32_t pack2<__half>(float low, float high) {
  const std::uint32_t upper = __half_as_ushort(__float2half_rn(high));
  return upper << 16 | __half_as_ushort(__float2half_rn(low));
}

#ifdef __CUDACC__

// No "memory" clobber: between the stores to the rows and their loading there is a barrier anyway, which the
// compiler does not move these across.
__device__ inline void ldmatrix_x4(std::uint32_t (&r)[4], const void* row) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address));
}
__device__ inline void ldmatrix_x4_trans(std::uint32_t (&r)[4], const void* row) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address));
}
// The addresses of lanes 0..15 count.
__device__ inline void ldmatrix_x2(std::uint32_t (&r)[2], const void* row) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(address));
}
__device__ inline void ldmatrix_x2_trans(std::uint32_t (&r)[2], const void* row) {
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(address));
}

// d += A B, with elements of T.
template <class T>
__device__ inline void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                    std::uint32_t b1) {
  static_assert(std::is_same_v<T, __nv_bfloat16> || std::is_same_v<T, __half>);
  if constexpr (std::is_same_v<T, __nv_bfloat16>)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#else

inline void ldmatrix_x4(std::uint32_t (&r)[4], const void* row,
                        std::source_location where = std::source_location::current()) {
  emulator::load_tiles<false>(r, row, where);
}
inline void ldmatrix_x4_trans(std::uint32_t (&r)[4], const void* row,
                              std::source_location where = std::source_location::current()) {
  emulator::load_tiles<true>(r, row, where);
}
inline void ldmatrix_x2(std::uint32_t (&r)[2], const void* row,
                        std::source_location where = std::source_location::current()) {
  emulator::load_tiles<false>(r, row, where);
}
inline void ldmatrix_x2_trans(std::uint32_t (&r)[2], const void* row,
                              std::source_location where = std::source_location::current()) {
  emulator::load_tiles<true>(r, row, where);
}

template <class T>
void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                  std::source_location where = std::source_location::current()) {
  emulator::multiply_tiles<T>(d, a, b0, b1, where);
}

#endif

}  // namespace sagitta::cuda
