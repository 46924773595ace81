// The 16-bit types on the host, and the few things the CPU backend does with them.
#include <algorithm>
#include <vector>

#include "kernel_reference.h"
#include "tensor/error.h"
#include "tensor/half.h"

using namespace sagitta;
using namespace sagitta::testing;

namespace {

Backend& b = cpu_backend();

constexpr float kInfinity = std::numeric_limits<float>::infinity();

bool is_nan_bits(std::uint16_t bits, bool bf16) {
  return bf16 ? (bits & 0x7F80) == 0x7F80 && (bits & 0x7F) : (bits & 0x7C00) == 0x7C00 && (bits & 0x3FF);
}

// `exact` rounded to a multiple of 2^-digits of its power of two, ties to even, with the smallest exponent
// `lowest`: what IEEE 754 says, in double arithmetic, which holds it all without rounding of its own.
double rounded(double exact, int digits, int lowest) {
  if (exact == 0 || !std::isfinite(exact)) return exact;
  const double unit = std::ldexp(1.0, std::max(std::ilogb(exact), lowest) - digits);
  return std::nearbyint(exact / unit) * unit;
}

Tensor half_tensor(const Values& values, DType dtype) {
  return tensor_of({static_cast<Index>(values.size())}, dtype, values);
}

}  // namespace

TEST_CASE("known bit patterns of bf16 and f16") {
  CHECK(bf16_from(1.0F) == 0x3F80);
  CHECK(bf16_from(-2.5F) == 0xC020);
  CHECK(bf16_from(1.00390625F) == 0x3F80);    // a tie goes to the even neighbor below
  CHECK(bf16_from(1.01171875F) == 0x3F82);    // and to the even neighbor above
  CHECK(bf16_from(3.3961775e38F) == 0x7F80);  // rounds up to infinity
  CHECK(bf16_from(-kInfinity) == 0xFF80);
  CHECK(f16_from(1.0F) == 0x3C00);
  CHECK(f16_from(-0.0F) == 0x8000);
  CHECK(f16_from(65504.0F) == 0x7BFF);
  CHECK(f16_from(65519.996F) == 0x7BFF);
  CHECK(f16_from(65520.0F) == 0x7C00);
  CHECK(f16_from(-kInfinity) == 0xFC00);
  CHECK(f16_from(0x1p-24F) == 0x0001);       // the smallest subnormal
  CHECK(f16_from(0x1p-25F) == 0x0000);       // half of it: a tie, to even
  CHECK(f16_from(0x1.8p-24F) == 0x0002);     // one and a half: a tie, to even
  CHECK(f16_from(-0x1.FFEp-15F) == 0x8400);  // rounds up from the subnormals to the smallest normal number
  CHECK(std::isnan(float_from_f16(f16_from(std::nanf("")))));
  CHECK(
      std::isnan(float_from_bf16(bf16_from(std::bit_cast<float>(0x7F800001u)))));  // payload in the lost bits
  CHECK(std::isnan(float_from_f16(f16_from(std::bit_cast<float>(0xFF800001u)))));
}

TEST_CASE("every 16-bit pattern survives the way through float") {
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    if (is_nan_bits(bits, true))
      REQUIRE(std::isnan(float_from_bf16(bits)));
    else
      REQUIRE(bf16_from(float_from_bf16(bits)) == bits);
    if (is_nan_bits(bits, false))
      REQUIRE(std::isnan(float_from_f16(bits)));
    else
      REQUIRE(f16_from(float_from_f16(bits)) == bits);
  }
}

TEST_CASE("rounding is to nearest, ties to even, over the whole range") {
  for (std::uint32_t i = 0; i < 2'000'000; ++i) {
    // Patterns spread over all exponents; every other one ends in zeros, so that ties occur.
    std::uint32_t bits = i * 2654435761u;
    if (i % 2 == 0) bits &= 0xFFFFF000u;
    const auto value = std::bit_cast<float>(bits);
    if (std::isnan(value)) continue;
    const double as_bf16 = rounded(static_cast<double>(value), 7, -126);
    REQUIRE(static_cast<double>(float_from_bf16(bf16_from(value))) ==
            (std::abs(as_bf16) >= 0x1p128 ? std::copysign(HUGE_VAL, as_bf16) : as_bf16));
    const double as_f16 = rounded(static_cast<double>(value), 10, -14);
    REQUIRE(static_cast<double>(float_from_f16(f16_from(value))) ==
            (std::abs(as_f16) >= 65536 ? std::copysign(HUGE_VAL, as_f16) : as_f16));
  }
}

TEST_CASE("16-bit tensors are filled and converted to and from every type") {
  const Values values{0, 1, -2.5, 100, 3.140625};
  for (const DType half : {DType::bf16, DType::f16}) {
    CAPTURE(name_of(half));
    const Tensor x = half_tensor(values, half);
    CHECK(values_of(x) == values);
    CHECK(values_of(full(b, {3}, half, -0.5)) == Values{-0.5, -0.5, -0.5});
    for (const DType other : {DType::f32, DType::f64, DType::bf16, DType::f16, DType::i32, DType::i64}) {
      CAPTURE(name_of(other));
      Tensor y(b, x.shape(), other), back = x.like();
      b.convert(x, y);
      const bool whole = other == DType::i32 || other == DType::i64;
      CHECK(values_of(y) == (whole ? Values{0, 1, -2, 100, 3} : values));
      b.convert(y, back);
      CHECK(values_of(back) == values_of(y));
    }
  }
}

TEST_CASE("scale converts between floating types, rounding the result once, and honors its target") {
  const Values values{1, 3, 0.333251953125, -1000};  // all exact in f16
  for (const DType from : {DType::f32, DType::f64, DType::bf16, DType::f16}) {
    for (const DType to : {DType::f32, DType::f64, DType::bf16, DType::f16}) {
      CAPTURE(name_of(from));
      CAPTURE(name_of(to));
      const Tensor x = half_tensor(values, from);
      const Values exact = values_of(x);
      const Target fresh{poisoned(x.shape(), to)}, filled{half_tensor({10, 20, 30, 40}, to), true};
      b.scale(x, 3, fresh);
      b.scale(x, 3, filled);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const double old = 10.0 * static_cast<double>(i + 1);
        CHECK(values_of(fresh.dst)[i] == values_of(half_tensor({3 * exact[i]}, to))[0]);
        CHECK(values_of(filled.dst)[i] == values_of(half_tensor({old + 3 * exact[i]}, to))[0]);
      }
    }
  }
}

TEST_CASE("computing in 16 bits is refused with its dtype") {
  const Tensor x = half_tensor({1, 2}, DType::bf16);
  Tensor y = x.like();
  CHECK_THROWS_WITH_AS(b.binary(BinaryOp::add, x, x, y), doctest::Contains("bf16"), Error);
}
