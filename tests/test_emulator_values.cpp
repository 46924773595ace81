// Bits on the emulated device: conversions of the 16-bit types and the tensor-core primitives.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "cuda/launch.h"
#include "cuda/tensor_core.cuh"
#include "cuda/types.cuh"
#include "device_array.h"

namespace sagitta {
namespace {

using cuda::from_float;
using cuda::launch;
using cuda::to_float;
using test::DeviceArray;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST_CASE_TEMPLATE("16-bit values survive the way to float and back", T, __nv_bfloat16, __half) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const T value = std::bit_cast<T>(static_cast<std::uint16_t>(bits));
    const float wide = to_float(value);
    const auto back = std::bit_cast<std::uint16_t>(from_float<T>(wide));
    if (back != (std::isnan(wide) ? 0x7FFF : bits)) FAIL_CHECK("bits ", bits, " came back as ", back);
  }
}

TEST_CASE("rounding to bfloat16: ties to even, overflow to infinity, one NaN") {
  const auto bits = [](float value) { return __bfloat16_as_ushort(__float2bfloat16_rn(value)); };
  CHECK(bits(1.0F) == 0x3F80);
  CHECK(bits(-2.0F) == 0xC000);
  CHECK(bits(1.0F + 0x1p-8F) == 0x3F80);  // tie, down to even
  CHECK(bits(1.0F + 0x3p-8F) == 0x3F82);  // tie, up to even
  CHECK(bits(std::nextafter(1.0F + 0x1p-8F, 2.0F)) == 0x3F81);
  CHECK(bits(std::nextafter(1.0F + 0x3p-8F, 1.0F)) == 0x3F81);
  CHECK(bits(std::numeric_limits<float>::max()) == 0x7F80);
  CHECK(bits(0x1p-133F) == 0x0001);  // the smallest subnormal
  CHECK(bits(0x1p-134F) == 0x0000);  // tie
  CHECK(bits(0x3p-134F) == 0x0002);  // tie
  CHECK(bits(-0.0F) == 0x8000);
  CHECK(bits(-kInfinity) == 0xFF80);
  CHECK(bits(kNan) == 0x7FFF);
  CHECK(bits(-kNan) == 0x7FFF);
}

TEST_CASE("rounding to half: ties to even, subnormals, overflow to infinity, one NaN") {
  const auto bits = [](float value) { return __half_as_ushort(__float2half_rn(value)); };
  CHECK(bits(1.0F) == 0x3C00);
  CHECK(bits(-2.0F) == 0xC000);
  CHECK(bits(1.0F + 0x1p-11F) == 0x3C00);  // tie, down to even
  CHECK(bits(1.0F + 0x3p-11F) == 0x3C02);  // tie, up to even
  CHECK(bits(std::nextafter(1.0F + 0x1p-11F, 2.0F)) == 0x3C01);
  CHECK(bits(65504.0F) == 0x7BFF);
  CHECK(bits(std::nextafter(65520.0F, 0.0F)) == 0x7BFF);
  CHECK(bits(65520.0F) == 0x7C00);  // tie between the largest and the next power of two
  CHECK(bits(1e30F) == 0x7C00);
  CHECK(bits(0x1p-14F) == 0x0400);             // the smallest normal
  CHECK(bits(0x1p-14F - 0x1p-25F) == 0x0400);  // tie, up to even, out of the subnormals
  CHECK(bits(0x1p-24F) == 0x0001);             // the smallest subnormal
  CHECK(bits(0x1p-25F) == 0x0000);             // tie
  CHECK(bits(std::nextafter(0x1p-25F, 1.0F)) == 0x0001);
  CHECK(bits(-0x3p-25F) == 0x8002);  // tie
  CHECK(bits(-0.0F) == 0x8000);
  CHECK(bits(-kInfinity) == 0xFC00);
  CHECK(bits(kNan) == 0x7FFF);
}

TEST_CASE("pairs of 16-bit values") {
  const __nv_bfloat162 brains = __floats2bfloat162_rn(1.5F, -2.0F);
  CHECK(__bfloat1622float2(brains).x == 1.5F);
  CHECK(__bfloat1622float2(brains).y == -2.0F);
  const __half2 halves = __floats2half2_rn(1.5F, -2.0F);
  CHECK(__half22float2(halves).x == 1.5F);
  CHECK(__half22float2(halves).y == -2.0F);
  CHECK(cuda::pack2<__nv_bfloat16>(1.0F, -2.0F) == 0xC0003F80);
  CHECK(cuda::pack2<__half>(1.0F, -2.0F) == 0xC0003C00);
}

// ---- tensor cores

// Lane l names row l of the shared matrix; `rows` is filled with 256 different numbers.
__global__ void load_tiles(std::uint32_t* registers) {
  __shared__ __align__(16) std::uint16_t rows[32][8];
  const unsigned lane = threadIdx.x;
  for (unsigned i = 0; i < 8; ++i) rows[lane][i] = static_cast<std::uint16_t>(8 * lane + i);
  __syncwarp();
  std::uint32_t r[4], half[2];
  cuda::ldmatrix_x4(r, rows[lane]);
  for (unsigned i = 0; i < 4; ++i) registers[lane * 12 + i] = r[i];
  cuda::ldmatrix_x4_trans(r, rows[lane]);
  for (unsigned i = 0; i < 4; ++i) registers[lane * 12 + 4 + i] = r[i];
  cuda::ldmatrix_x2(half, rows[lane % 16]);
  for (unsigned i = 0; i < 2; ++i) registers[lane * 12 + 8 + i] = half[i];
  cuda::ldmatrix_x2_trans(half, rows[lane % 16]);
  for (unsigned i = 0; i < 2; ++i) registers[lane * 12 + 10 + i] = half[i];
}

TEST_CASE("ldmatrix deals 8x8 tiles out as PTX says") {
  const DeviceArray<std::uint32_t> y(32 * 12);
  launch(load_tiles, 1, 32, 0, nullptr, y.get());
  const auto registers = y.values();
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned group = lane / 4, pair = lane % 4 * 2;
    for (unsigned tile = 0; tile < 4; ++tile) {
      const unsigned plain = 64 * tile + 8 * group + pair, crossed = 64 * tile + 8 * pair + group;
      const std::uint32_t row = plain | (plain + 1) << 16, column = crossed | (crossed + 8) << 16;
      CHECK(registers[lane * 12 + tile] == row);
      CHECK(registers[lane * 12 + 4 + tile] == column);
      if (tile >= 2) continue;
      CHECK(registers[lane * 12 + 8 + tile] == row);
      CHECK(registers[lane * 12 + 10 + tile] == column);
    }
  }
}

// d [16,16] = a [16,16] b [16,16]^T; e = T(d) b: the shape of attention's two products.
template <class T>
__global__ void two_products(const T* a, const T* b, float* d, float* e) {
  __shared__ __align__(16) T left[16][24], right[16][24];  // padded: rows of 48 bytes
  const unsigned lane = threadIdx.x, group = lane / 4, pair = lane % 4 * 2;
  for (unsigned i = lane; i < 256; i += 32) {
    left[i / 16][i % 16] = a[i];
    right[i / 16][i % 16] = b[i];
  }
  __syncwarp();
  std::uint32_t fa[4], fb[4];
  cuda::ldmatrix_x4(fa, &left[lane % 16][lane / 16 * 8]);
  cuda::ldmatrix_x4(fb, &right[lane % 8 + lane / 16 * 8][lane / 8 % 2 * 8]);
  float sums[2][4] = {};
  for (unsigned n = 0; n < 2; ++n) cuda::mma_m16n8k16<T>(sums[n], fa, fb[2 * n], fb[2 * n + 1]);
  const std::uint32_t again[4] = {
      cuda::pack2<T>(sums[0][0], sums[0][1]), cuda::pack2<T>(sums[0][2], sums[0][3]),
      cuda::pack2<T>(sums[1][0], sums[1][1]), cuda::pack2<T>(sums[1][2], sums[1][3])};
  cuda::ldmatrix_x4_trans(fb, &right[lane % 16][lane / 16 * 8]);
  float products[2][4] = {{1, 1, 1, 1}, {1, 1, 1, 1}};
  for (unsigned n = 0; n < 2; ++n) cuda::mma_m16n8k16<T>(products[n], again, fb[2 * n], fb[2 * n + 1]);
  for (unsigned n = 0; n < 2; ++n)
    for (unsigned i = 0; i < 4; ++i) {
      const unsigned at = (group + i / 2 * 8) * 16 + 8 * n + pair + i % 2;
      d[at] = sums[n][i];
      e[at] = products[n][i];
    }
}

TEST_CASE_TEMPLATE("mma agrees with a plain product, and its result is the next one's fragment", T,
                   __nv_bfloat16, __half) {
  std::vector<T> a(256), b(256);
  for (std::size_t i = 0; i < 256; ++i) {
    // Multiples of 1/16 and small: every product and sum is exact, so any order of additions agrees.
    a[i] = from_float<T>(static_cast<float>(i * 37 % 31) / 16.0F - 1.0F);
    b[i] = from_float<T>(static_cast<float>(i * 53 % 29) / 16.0F - 0.75F);
  }
  const DeviceArray<T> da(a), db(b);
  const DeviceArray<float> dd(256), de(256);
  launch(two_products<T>, 1, 32, 0, nullptr, da.get(), db.get(), dd.get(), de.get());
  const auto d = dd.values(), e = de.values();
  for (std::size_t row = 0; row < 16; ++row)
    for (std::size_t column = 0; column < 16; ++column) {
      float first = 0, second = 1;
      for (std::size_t k = 0; k < 16; ++k) first += to_float(a[row * 16 + k]) * to_float(b[column * 16 + k]);
      for (std::size_t k = 0; k < 16; ++k)
        second += to_float(from_float<T>(d[row * 16 + k])) * to_float(b[k * 16 + column]);
      CHECK(d[row * 16 + column] == first);
      CHECK(e[row * 16 + column] == doctest::Approx(second).epsilon(1e-5));
    }
}

}  // namespace
}  // namespace sagitta
