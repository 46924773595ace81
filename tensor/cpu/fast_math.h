// exp and erf in f32 as straight-line polynomials, which compilers turn into SIMD loops (calls into the C
// library are not); in f64, the reference precision, they are the library's own. Accuracy in f32: exp 2 ulp
// relative; erf 2e-7 absolute. Coefficients: weighted least-squares fits made for this file.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "tensor/elementwise.h"

namespace sagitta::cpu::inline SAGITTA_ISA::fast {

inline double exp(double x) { return std::exp(x); }
inline double erf(double x) { return std::erf(x); }

// e^x = 2^n e^r with n = round(x / ln 2) and |r| <= ln(2)/2. Under- and overflow go to 0 and infinity; NaN
// stays.
inline float exp(float x) {
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  constexpr float kRound = 0x1.8p23f;  // adding it rounds to an integer, which then stands in the low bits
  const float shifted = x * 1.44269504f + kRound;
  const float n = shifted - kRound;
  const float r =
      (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts: n times the first is exact
  float p = 1.3836838e-3f;
  p = p * r + 8.3748221e-3f;
  p = p * r + 4.16682261e-2f;
  p = p * r + 1.666642010e-1f;
  p = p * r + 4.999999208e-1f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  // 2^n in two factors, so that n outside [-126, 127] works.
  const std::int32_t exponent =
      static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(shifted) - 0x4B400000u);
  const std::int32_t half = exponent >> 1;
  const auto power = [](std::int32_t e) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(e + 127) << 23);
  };
  return p * power(half) * power(exponent - half);
}

// |x| < 1: odd polynomial; beyond: 1 - exp(-x^2 + q(|x|)), where q fits log(erfc) + x^2 on [1, 4].
inline float erf(float x) {
  const float s = x * x;
  float p = 7.8891228e-5f;
  p = p * s - 8.0208423e-4f;
  p = p * s + 5.18953545e-3f;
  p = p * s - 2.6854444649e-2f;
  p = p * s + 1.1283600178e-1f;
  p = p * s - 3.7612627136e-1f;
  p = p * s + 1.1283791659f;

  const float t = std::fabs(x) > 4.0f ? 4.0f : std::fabs(x);
  float q = 1.8557319121e-4f;
  q = q * t - 2.9395996655e-3f;
  q = q * t + 2.1805289218e-2f;
  q = q * t - 1.0303731070e-1f;
  q = q * t + 3.6177425883e-1f;
  q = q * t - 1.1270399991f;
  q = q * t - 3.5372820825e-4f;
  const float tail = std::copysign(1.0f - fast::exp(q - t * t), x);
  return s <= 1.0f ? p * x : (s > 1.0f ? tail : s);  // the last: NaN
}

// GELU as in elementwise.h, on the functions above.
struct Gelu {
  static constexpr Saves kSaves = elementwise::Gelu::kSaves;
  template <class T>
  static T f(T x) {
    return T(0.5) * x * (T(1) + fast::erf(x * T(0.70710678118654752)));
  }
  template <class T>
  static T df(T x, T) {
    return T(0.5) * (T(1) + fast::erf(x * T(0.70710678118654752))) +
           x * T(0.39894228040143268) * fast::exp(T(-0.5) * x * x);
  }
};

// visit(op, visitor) of elementwise.h with the formulas that have a faster form here.
template <class Visitor>
decltype(auto) visit(UnaryOp op, Visitor&& visitor) {
  if (op == UnaryOp::gelu) return visitor(Gelu{});
  return sagitta::visit(op, visitor);
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA::fast
