// The transforms of Winograd's minimal filtering for 3 x 3 kernels: F(4x4,3x3) and F(2x2,3x3) of Lavin and
// Gray, "Fast algorithms for convolutional neural networks" (2015). A tile of kOut x kOut outputs Y comes
// from kIn x kIn inputs D and the kernel g as
//     Y = A^T [ (G g G^T) * (B^T D B) ] A       (* elementwise)
// with 36 instead of 144 products per channel (16 instead of 36). Every function here is one of these
// matrices (or its transpose, for the gradients) applied in place to one row or column of a square, `s`
// elements from one to the next: all inputs are read before the first output is written. V is a SIMD vector
// over channels.
#pragma once

namespace sagitta::cpu::inline SAGITTA_ISA {

template <int Out>
struct Winograd;

template <>
struct Winograd<4> {
  static constexpr int kOut = 4, kIn = 6;

  // B^T: 6 -> 6
  template <class V>
  static void input(V* x, int s) {
    const V d0 = x[0], d1 = x[s], d2 = x[2 * s], d3 = x[3 * s], d4 = x[4 * s], d5 = x[5 * s];
    const V even = d4 - 4 * d2, odd = d3 - 4 * d1;
    const V even2 = d4 - d2, odd2 = 2 * (d3 - d1);
    x[0] = 4 * d0 - 5 * d2 + d4;
    x[s] = even + odd;
    x[2 * s] = even - odd;
    x[3 * s] = even2 + odd2;
    x[4 * s] = even2 - odd2;
    x[5 * s] = 4 * d1 - 5 * d3 + d5;
  }

  // A^T: 6 -> 4
  template <class V>
  static void output(V* x, int s) {
    const V m0 = x[0], m5 = x[5 * s];
    const V sum = x[s] + x[2 * s], difference = x[s] - x[2 * s];
    const V sum2 = x[3 * s] + x[4 * s], difference2 = x[3 * s] - x[4 * s];
    x[0] = m0 + sum + sum2;
    x[s] = difference + 2 * difference2;
    x[2 * s] = sum + 4 * sum2;
    x[3 * s] = difference + 8 * difference2 + m5;
  }

  // A: 4 -> 6
  template <class V>
  static void output_transposed(V* x, int s) {
    const V y0 = x[0], y1 = x[s], y2 = x[2 * s], y3 = x[3 * s];
    const V even = y0 + y2, odd = y1 + y3;
    const V even2 = y0 + 4 * y2, odd2 = 2 * (y1 + 4 * y3);
    x[s] = even + odd;
    x[2 * s] = even - odd;
    x[3 * s] = even2 + odd2;
    x[4 * s] = even2 - odd2;
    x[5 * s] = y3;
  }

  // G: 3 -> 6
  template <class V>
  static void kernel(V* x, int s) {
    const V g0 = x[0], g1 = x[s], g2 = x[2 * s];
    const V ends = g0 + g2, ends2 = g0 + 4 * g2;
    x[0] = g0 / 4;
    x[s] = (ends + g1) / -6;
    x[2 * s] = (g1 - ends) / 6;
    x[3 * s] = (ends2 + 2 * g1) / 24;
    x[4 * s] = (ends2 - 2 * g1) / 24;
    x[5 * s] = g2;
  }

  // G^T: 6 -> 3
  template <class V>
  static void kernel_transposed(V* x, int s) {
    const V u0 = x[0], u5 = x[5 * s];
    const V sum = x[s] + x[2 * s], difference = x[2 * s] - x[s];
    const V sum2 = x[3 * s] + x[4 * s], difference2 = x[3 * s] - x[4 * s];
    x[0] = u0 / 4 - sum / 6 + sum2 / 24;
    x[s] = difference / 6 + difference2 / 12;
    x[2 * s] = (sum2 - sum) / 6 + u5;
  }
};

template <>
struct Winograd<2> {
  static constexpr int kOut = 2, kIn = 4;

  template <class V>
  static void input(V* x, int s) {
    const V d0 = x[0], d1 = x[s], d2 = x[2 * s], d3 = x[3 * s];
    x[0] = d0 - d2;
    x[s] = d1 + d2;
    x[2 * s] = d2 - d1;
    x[3 * s] = d1 - d3;
  }

  template <class V>
  static void output(V* x, int s) {
    const V m0 = x[0], m1 = x[s], m2 = x[2 * s], m3 = x[3 * s];
    x[0] = m0 + m1 + m2;
    x[s] = m1 - m2 - m3;
  }

  template <class V>
  static void output_transposed(V* x, int s) {
    const V y0 = x[0], y1 = x[s];
    x[s] = y0 + y1;
    x[2 * s] = y0 - y1;
    x[3 * s] = -y1;
  }

  template <class V>
  static void kernel(V* x, int s) {
    const V ends = x[0] + x[2 * s], g1 = x[s], g2 = x[2 * s];
    x[s] = (ends + g1) / 2;
    x[2 * s] = (ends - g1) / 2;
    x[3 * s] = g2;
  }

  template <class V>
  static void kernel_transposed(V* x, int s) {
    const V u0 = x[0], u1 = x[s], u2 = x[2 * s], u3 = x[3 * s];
    x[0] = u0 + (u1 + u2) / 2;
    x[s] = (u1 - u2) / 2;
    x[2 * s] = (u1 + u2) / 2 + u3;
  }
};

// Applies a function above to all columns and then to all rows of the top left From x From part of a square
// [Stride][Stride]; its top left To x To part is the result.
template <int From, int To, int Stride, class V, class Apply>
void transform_square(V* square, const Apply& apply) {
#pragma GCC unroll 6
  for (int column = 0; column < From; ++column) apply(square + column, Stride);
#pragma GCC unroll 6
  for (int row = 0; row < To; ++row) apply(square + row * Stride, 1);
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
