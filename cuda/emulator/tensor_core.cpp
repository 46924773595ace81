// The last lane to arrive gathers the matrices from all lanes' registers, works on them as plain arrays, and
// deals the results out.
#include "cuda/emulator/tensor_core.h"

#include "tensor/half.h"

namespace sagitta::cuda::emulator {
namespace {

constexpr unsigned kAllLanes = ~0U;

template <int kTiles, bool kTransposed>
void combine_tiles(void* const* records, unsigned lanes) {
  require(lanes == kAllLanes, "ldmatrix without all lanes of the warp");
  const auto element = [&](int tile, int row, int column) -> std::uint32_t {
    return static_cast<const TileRecord*>(records[8 * tile + row])->row[column];
  };
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane / 4, pair = lane % 4 * 2;
    for (int tile = 0; tile < kTiles; ++tile) {
      const std::uint32_t low = kTransposed ? element(tile, pair, group) : element(tile, group, pair);
      const std::uint32_t high =
          kTransposed ? element(tile, pair + 1, group) : element(tile, group, pair + 1);
      static_cast<TileRecord*>(records[lane])->registers[tile] = low | high << 16;
    }
  }
}

template <float (&to_float)(std::uint16_t)>
void combine_product(void* const* records, unsigned lanes) {
  require(lanes == kAllLanes, "mma without all lanes of the warp");
  const auto low = [](std::uint32_t packed) { return to_float(static_cast<std::uint16_t>(packed)); };
  const auto high = [](std::uint32_t packed) { return to_float(static_cast<std::uint16_t>(packed >> 16)); };
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const auto& record = *static_cast<const ProductRecord*>(records[lane]);
    const int group = lane / 4, pair = lane % 4 * 2;
    for (int i = 0; i < 4; ++i) {
      float* const at = &a[group + i % 2 * 8][pair + i / 2 * 8];
      at[0] = low(record.a[i]);
      at[1] = high(record.a[i]);
    }
    for (int i = 0; i < 2; ++i) {
      b[pair + i * 8][group] = low(record.b[i]);
      b[pair + i * 8 + 1][group] = high(record.b[i]);
    }
  }
  for (int row = 0; row < 16; ++row) {
    float sum[8] = {};
    for (int k = 0; k < 16; ++k)
      for (int n = 0; n < 8; ++n) sum[n] += a[row][k] * b[k][n];
    for (int n = 0; n < 8; ++n)
      static_cast<ProductRecord*>(records[row % 8 * 4 + n / 2])->d[row / 8 * 2 + n % 2] += sum[n];
  }
}

float bf16_value(std::uint16_t bits) { return float_from_bf16(bits); }
float f16_value(std::uint16_t bits) { return float_from_f16(bits); }

}  // namespace

void exchange_tiles(TileRecord& record, int tiles, bool transposed, const std::source_location& where) {
  const Combine plain = tiles == 4 ? &combine_tiles<4, false> : &combine_tiles<2, false>;
  const Combine crossed = tiles == 4 ? &combine_tiles<4, true> : &combine_tiles<2, true>;
  join_warp(kAllLanes, transposed ? crossed : plain, &record, false, where);
}

void multiply(ProductRecord& record, bool bf16, const std::source_location& where) {
  join_warp(kAllLanes, bf16 ? &combine_product<bf16_value> : &combine_product<f16_value>, &record, false,
            where);
}

}  // namespace sagitta::cuda::emulator
