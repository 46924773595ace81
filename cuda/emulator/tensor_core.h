// The bodies of cuda/tensor_core.cuh on the emulated device; the fragment layouts are described there.
#pragma once
#include <cuda_bf16.h>

#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "cuda/emulator/scheduler.h"
#include "tensor/error.h"

namespace sagitta::cuda::emulator {

// What a lane brings to ldmatrix and what it receives.
struct TileRecord {
  std::uint16_t row[8];
  std::uint32_t registers[4];
};
void exchange_tiles(TileRecord& record, int tiles, bool transposed, const std::source_location& where);

// What a lane brings to mma; d is updated.
struct ProductRecord {
  std::uint32_t a[4];
  std::uint32_t b[2];
  float d[4];
};
void multiply(ProductRecord& record, bool bf16, const std::source_location& where);

template <bool kTransposed, int kTiles>
void load_tiles(std::uint32_t (&registers)[kTiles], const void* row, const std::source_location& where) {
  TileRecord record{};
  if (lane() < 8 * kTiles) {
    require(reinterpret_cast<std::uintptr_t>(row) % 16 == 0,
            "ldmatrix at {}:{}: the address of a row is not aligned to 16 bytes", where.file_name(),
            where.line());
    // Read by the lane that names the address, so that a race or a stray read is reported there.
    std::memcpy(record.row, row, sizeof(record.row));
  }
  exchange_tiles(record, kTiles, kTransposed, where);
  std::memcpy(registers, record.registers, sizeof(registers));
}

template <class T>
void multiply_tiles(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1,
                    const std::source_location& where) {
  ProductRecord record{{a[0], a[1], a[2], a[3]}, {b0, b1}, {d[0], d[1], d[2], d[3]}};
  multiply(record, std::is_same_v<T, __nv_bfloat16>, where);
  std::memcpy(d, record.d, sizeof(d));
}

}  // namespace sagitta::cuda::emulator
