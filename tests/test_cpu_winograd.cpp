// Convolutions by Winograd's minimal filtering against the definition, and how they round.
#include "convolution_reference.h"

using namespace sagitta;
using namespace sagitta::testing;

namespace {

Backend& b = cpu_backend();

// Convolutions are computed by `algorithm` as long as this lives.
class With {
 public:
  explicit With(ConvAlgorithm algorithm) { set_conv_algorithm(algorithm); }
  ~With() { set_conv_algorithm(ConvAlgorithm::automatic); }
};

constexpr ConvAlgorithm kWinograds[] = {ConvAlgorithm::winograd2, ConvAlgorithm::winograd4};

// A 3 x 3 convolution of random f32 images whose size it keeps.
class SameConvolution {
 public:
  SameConvolution(Index images, Index height, Index width, Index inputs, Index outputs)
      : x_(random_tensor({images, height, width, inputs}, DType::f32, 1)),
        weight_(random_tensor({outputs, 3, 3, inputs}, DType::f32, 2)),
        dy_(random_tensor({images, height, width, outputs}, DType::f32, 3)) {}

  // Output, input gradient and weight gradient by this algorithm, as one list.
  Values by(ConvAlgorithm algorithm) const {
    const With with(algorithm);
    constexpr Conv2dParams kParams{1, 1};
    Tensor y = poisoned(dy_.shape(), DType::f32), dx = poisoned(x_.shape(), DType::f32),
           dweight = poisoned(weight_.shape(), DType::f32);
    b.conv2d(kParams, x_, weight_, y);
    b.conv2d_backward_input(kParams, weight_, dy_, {dx});
    b.conv2d_backward_weight(kParams, x_, dy_, {dweight});
    Values all;
    for (const Tensor& part : {y, dx, dweight}) {
      const Values values = values_of(part);
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }

 private:
  Tensor x_, weight_, dy_;
};

}  // namespace

TEST_CASE("winograd: both tile sizes agree with the definition for every position of the border in a tile") {
  for (const ConvAlgorithm algorithm : kWinograds) {
    CAPTURE(static_cast<int>(algorithm));
    const With with(algorithm);
    for_both_dtypes([](DType dtype) {
      for (const Index extent : {1, 2, 3, 4, 5, 8, 9})
        check_convolution({2, extent, 10 - extent, 16, 32, 3, 3, {1, 1}}, dtype);
      check_convolution({1, 21, 22, 48, 16, 3, 3, {1, 1}}, dtype);  // several blocks of tiles, a split panel
    });
  }
}

TEST_CASE("winograd: shapes that it does not fit are computed by their definition") {
  for (const ConvAlgorithm algorithm : kWinograds) {
    const With with(algorithm);
    check_convolution({2, 7, 6, 16, 16, 3, 3, {2, 1}}, DType::f32);
    check_convolution({2, 7, 6, 16, 16, 3, 3, {1, 0}}, DType::f32);
    check_convolution({2, 7, 6, 16, 16, 3, 1, {1, 1}}, DType::f32);
    check_convolution({2, 7, 6, 17, 16, 3, 3, {1, 1}}, DType::f32);
    check_convolution({2, 7, 6, 16, 5, 3, 3, {1, 1}}, DType::f32);
  }
}

TEST_CASE("winograd: the algorithms are what they say: results differ by rounding, and by no more") {
  const SameConvolution convolution(2, 24, 24, 64, 64);
  const Values direct = convolution.by(ConvAlgorithm::direct), two = convolution.by(ConvAlgorithm::winograd2),
               four = convolution.by(ConvAlgorithm::winograd4);
  CHECK(direct != two);
  CHECK(two != four);
  // The table takes F(4x4) for an image of this size.
  CHECK(convolution.by(ConvAlgorithm::automatic) == four);
  CHECK(difference(two, direct) < 2e-6);
  CHECK(difference(four, direct) < 2e-5);
}

TEST_CASE("winograd: results do not depend on the number of threads") {
  const SameConvolution convolution(3, 22, 19, 32, 48);
  for (const ConvAlgorithm algorithm : kWinograds)
    check_thread_independence([&] { return convolution.by(algorithm); });
}

TEST_CASE("winograd: kernels too large for the caches, whose blocks depend on the number of threads") {
  const SameConvolution convolution(6, 7, 7, 368, 352);
  const Values direct = convolution.by(ConvAlgorithm::direct);
  CHECK(difference(convolution.by(ConvAlgorithm::winograd2), direct) < 5e-6);
  CHECK(difference(convolution.by(ConvAlgorithm::winograd4), direct) < 5e-5);
  for (const ConvAlgorithm algorithm : kWinograds)
    check_thread_independence([&] { return convolution.by(algorithm); });
}

TEST_CASE("convolution with batch norm, residual and ReLU in one sweep agrees with its composition") {
  for_both_dtypes([](DType dtype) {
    for (const ConvAlgorithm algorithm :
         {ConvAlgorithm::direct, ConvAlgorithm::winograd2, ConvAlgorithm::winograd4})
      for (const Index kernel : {1, 3}) {
        const With with(algorithm);
        const ConvNormParams params{
            .conv = {1, static_cast<int>(kernel / 2)}, .eps = 1e-3, .relu = kernel == 3};
        const Tensor x = random_tensor({2, 9, 6, 32}, dtype, 1),
                     weight = random_tensor({48, kernel, kernel, 32}, dtype, 2);
        const Tensor gamma = random_tensor({48}, dtype, 3), beta = random_tensor({48}, dtype, 4);
        const Tensor mean = random_tensor({48}, dtype, 5), residual = random_tensor({2, 9, 6, 48}, dtype, 6);
        Values variances = random_values(48, 7);
        for (double& variance : variances) variance = 1.5 + variance;
        const Tensor variance = tensor_of({48}, dtype, variances);
        for (const Tensor& added : {residual, Tensor()}) {
          Tensor composed = poisoned(residual.shape(), dtype), fused = poisoned(residual.shape(), dtype);
          b.Backend::conv2d_batch_norm(params, x, weight, gamma, beta, mean, variance, added, composed);
          b.conv2d_batch_norm(params, x, weight, gamma, beta, mean, variance, added, fused);
          CHECK(difference(fused, values_of(composed)) < tolerance(dtype));
        }
      }
  });
}

TEST_CASE("convolution with batch norm and ReLU keeps NaN, by every algorithm, as ReLU on its own does") {
  for_both_dtypes([](DType dtype) {
    for (const ConvAlgorithm algorithm :
         {ConvAlgorithm::direct, ConvAlgorithm::winograd2, ConvAlgorithm::winograd4})
      for (const Index outputs : {32, 35}) {  // 35: with a remainder beside the vectors
        CAPTURE(static_cast<int>(algorithm));
        CAPTURE(outputs);
        const With with(algorithm);
        const ConvNormParams params{.conv = {1, 1}, .eps = 1e-3, .relu = true};
        Values pixels = random_values(6 * 6 * 16, 1);
        const Index pixel = 3 * 6 + 2;
        pixels[static_cast<std::size_t>(pixel * 16)] = kNaN;
        const Tensor x = tensor_of({1, 6, 6, 16}, dtype, pixels);
        const Tensor weight = random_tensor({outputs, 3, 3, 16}, dtype, 2);
        const Tensor zeros = full(b, {outputs}, dtype, 0), ones = full(b, {outputs}, dtype, 1);
        for (const Tensor& added : {random_tensor({1, 6, 6, outputs}, dtype, 3), Tensor()}) {
          Tensor y = full(b, {1, 6, 6, outputs}, dtype, 0);
          b.conv2d_batch_norm(params, x, weight, ones, zeros, zeros, ones, added, y);
          const Values values = values_of(y);
          for (Index c = 0; c < outputs; ++c)
            CHECK(std::isnan(values[static_cast<std::size_t>(pixel * outputs + c)]));
        }
      }
  });
}
