// Matrix products, linear and convolution of the CPU backend against naive loops.
#include <array>

#include "convolution_reference.h"

using namespace sagitta;
using namespace sagitta::testing;

namespace {

Backend& b = cpu_backend();

// op(a) op(b) with op(a) [m,k], op(b) [k,n].
Values naive_product(const MatmulParams& params, const Values& left, const Values& right, Index m, Index n,
                     Index k) {
  Values y(static_cast<std::size_t>(m * n));
  for (Index i = 0; i < m; ++i)
    for (Index j = 0; j < n; ++j)
      for (Index l = 0; l < k; ++l)
        y[static_cast<std::size_t>(i * n + j)] +=
            left[static_cast<std::size_t>(params.transpose_a ? l * m + i : i * k + l)] *
            right[static_cast<std::size_t>(params.transpose_b ? j * k + l : l * n + j)];
  return y;
}

}  // namespace

TEST_CASE("matmul agrees with a triple loop for every transposition, odd extents and target") {
  const Index extents[][3] = {{1, 1, 1},     {5, 3, 2},    {13, 37, 19}, {12, 32, 8},
                              {100, 1, 300}, {1, 70, 513}, {25, 33, 257}};
  for_both_dtypes([&](DType dtype) {
    for (const auto& [m, n, k] : extents)
      for (int transposition = 0; transposition < 4; ++transposition) {
        const MatmulParams params{(transposition & 1) != 0, (transposition & 2) != 0};
        CAPTURE(m);
        CAPTURE(n);
        CAPTURE(k);
        CAPTURE(transposition);
        const Tensor left = random_tensor(params.transpose_a ? Shape{k, m} : Shape{m, k}, dtype, 1);
        const Tensor right = random_tensor(params.transpose_b ? Shape{n, k} : Shape{k, n}, dtype, 2);
        const Values expected = naive_product(params, values_of(left), values_of(right), m, n, k);
        check_target({m, n}, dtype, expected, [&](const Target& y) { b.matmul(params, left, right, y); });
      }
  });
}

TEST_CASE("large matmuls, which are cut into blocks and split sums, agree with a triple loop") {
  // More rows than a block; more columns than a block; a long sum over a small result.
  const Index extents[][3] = {{1111, 70, 90}, {70, 1111, 90}, {20, 50, 5000}};
  for_both_dtypes([&](DType dtype) {
    for (const auto& [m, n, k] : extents) {
      const Tensor left = random_tensor({m, k}, dtype, 1), right = random_tensor({k, n}, dtype, 2);
      const Values expected = naive_product({}, values_of(left), values_of(right), m, n, k);
      check_target({m, n}, dtype, expected, [&](const Target& y) { b.matmul({}, left, right, y); });
    }
  });
}

TEST_CASE("linear with bias and activation agrees with its composition of primitives") {
  for_both_dtypes([&](DType dtype) {
    for (const auto& [m, n, k] : std::vector<std::array<Index, 3>>{{7, 45, 33}, {300, 600, 40}})
      for (const UnaryOp activation : {UnaryOp::identity, UnaryOp::relu, UnaryOp::gelu, UnaryOp::quick_gelu})
        for (const bool with_bias : {false, true})
          for (const bool with_pre : {false, true}) {
            if (!with_pre && saves_of(activation) == Saves::input) continue;
            const Tensor x = random_tensor({m, k}, dtype, 1), weight = random_tensor({n, k}, dtype, 2);
            const Tensor bias = with_bias ? random_tensor({n}, dtype, 3) : Tensor();
            Tensor pre = with_pre ? poisoned({m, n}, dtype) : Tensor(), y = poisoned({m, n}, dtype);
            Tensor pre_expected = with_pre ? poisoned({m, n}, dtype) : Tensor(),
                   expected = poisoned({m, n}, dtype);
            b.linear({activation}, x, weight, bias, pre, y);
            b.Backend::linear({activation}, x, weight, bias, pre_expected, expected);
            CHECK(difference(y, values_of(expected)) < tolerance(dtype));
            if (with_pre) CHECK(difference(pre, values_of(pre_expected)) < tolerance(dtype));
          }
  });
}

TEST_CASE("convolution and its gradients agree with seven nested loops over kernels, strides and paddings") {
  for_both_dtypes([](DType dtype) {
    std::uint32_t turn = 0;  // walks through the odd extents, so that the sweep stays quick
    for (const Index kernel : {1, 2, 3, 5, 7})
      for (int stride = 1; stride <= 4; ++stride)
        for (int padding = 0; padding <= 3; ++padding, ++turn) {
          const Index height = 5 + turn % 5, width = 6 + turn % 3;
          if (height + 2 * padding < kernel || width + 2 * padding < kernel) continue;
          check_convolution(
              {1 + turn % 3, height, width, 1 + turn % 4, 1 + turn % 6, kernel, kernel, {stride, padding}},
              dtype);
        }
  });
}

TEST_CASE("convolutions with many channels, non-square kernels and several blocks agree with the loops") {
  for_both_dtypes([](DType dtype) {
    check_convolution({2, 9, 7, 40, 35, 3, 3, {1, 1}}, dtype);  // a sum longer than one packed depth
    check_convolution({2, 9, 7, 40, 35, 3, 3, {2, 1}}, dtype);
    check_convolution({1, 6, 11, 5, 9, 1, 3, {1, 1}}, dtype);  // the kernel is wider than high
    check_convolution({1, 11, 6, 5, 9, 4, 1, {3, 2}}, dtype);
    check_convolution({3, 8, 8, 33, 66, 1, 1, {1, 0}}, dtype);  // the plain product
    check_convolution({3, 8, 8, 33, 66, 1, 1, {2, 0}}, dtype);
    check_convolution({1, 40, 42, 3, 16, 7, 7, {2, 3}}, dtype);  // the first layer of a ResNet
    check_convolution({2, 48, 48, 4, 5, 3, 3, {1, 1}}, dtype);   // a split sum in the weight gradient
    check_convolution({1, 4, 4, 2, 2, 7, 7, {1, 3}}, dtype);     // the kernel is larger than the image
  });
}

TEST_CASE("products and convolutions do not depend on the number of threads") {
  const Tensor x = random_tensor({2, 30, 31, 24}, DType::f32, 1),
               weight = random_tensor({40, 3, 3, 24}, DType::f32, 2);
  const Tensor dy = random_tensor({2, 30, 31, 40}, DType::f32, 3);
  const Conv2dParams params{1, 1};
  Tensor y = dy.like(), dx = x.like(), dweight = weight.like();
  check_thread_independence([&] {
    b.conv2d(params, x, weight, y);
    return values_of(y);
  });
  check_thread_independence([&] {
    b.conv2d_backward_input(params, weight, dy, {dx});
    return values_of(dx);
  });
  check_thread_independence([&] {
    b.conv2d_backward_weight(params, x, dy, {dweight});
    return values_of(dweight);
  });
  // A small result of a long sum: the case where the sum itself is split.
  const Tensor left = random_tensor({40, 20000}, DType::f32, 4),
               right = random_tensor({20000, 40}, DType::f32, 5);
  Tensor small(b, {40, 40}, DType::f32);
  check_thread_independence([&] {
    b.matmul({}, left, right, {small});
    return values_of(small);
  });
}

TEST_CASE("products of no rows and sums of no terms write what they should") {
  const Tensor none(b, {0, 5}, DType::f32), weight = random_tensor({4, 5}, DType::f32, 1);
  Tensor pre, y(b, {0, 4}, DType::f32), image_out(b, {0, 3, 3, 2}, DType::f32);
  b.linear({}, none, weight, {}, pre, y);
  const Target dweight{poisoned({4, 5}, DType::f32), false};
  b.matmul({.transpose_a = true}, y, none, dweight);
  CHECK(values_of(dweight.dst) == Values(20, 0.0));
  const Tensor images(b, {0, 3, 3, 2}, DType::f32), kernels = random_tensor({2, 3, 3, 2}, DType::f32, 1);
  b.conv2d({1, 1}, images, kernels, image_out);
  const Target dkernels{poisoned({2, 3, 3, 2}, DType::f32), false};
  b.conv2d_backward_weight({1, 1}, images, image_out, dkernels);
  CHECK(values_of(dkernels.dst) == Values(36, 0.0));
  const Target dx{images, false};
  b.conv2d_backward_input({1, 1}, kernels, image_out, dx);
}
