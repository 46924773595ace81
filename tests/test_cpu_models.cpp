// Whole training steps on the CPU: in f32, with every algorithm of convolutions, beside f64; and their
// memory.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include "tensor/cpu_options.h"
#include "training_steps.h"

using namespace sagitta;
using namespace sagitta::test;

namespace {

// The largest difference of two loss curves, relative to the first loss.
double difference(const std::vector<double>& curve, const std::vector<double>& reference) {
  REQUIRE(curve.size() == reference.size());
  double largest = 0;
  for (std::size_t step = 0; step < curve.size(); ++step) {
    REQUIRE(std::isfinite(curve[step]));
    largest = std::max(largest, std::abs(curve[step] - reference[step]));
  }
  return largest / reference.front();
}

std::vector<double> reference_curve(const TrainingCase& training_case) {
  std::vector<double> curve = loss_curve(training_case, cpu_backend(), DType::f64);
  CHECK(curve.back() < 0.9 * curve.front());  // something was learned, so the curve says something
  return curve;
}

}  // namespace

TEST_CASE("ten steps of ResNet-18 in f32 follow the loss curve of f64, whatever computes the convolutions") {
  // Of 24 x 24 pixels in the first stage, so that the automatic choice takes F(4x4) there and F(2x2) further
  // on.
  TrainingCase training_case = resnet18();
  training_case.config.image_size = 96;
  set_conv_algorithm(ConvAlgorithm::direct);
  const std::vector<double> reference = reference_curve(training_case);
  // Measured, in the order below: 5e-6, 2.4e-5, 1.4e-5, 1.4e-5 with avx512 and avx2; 2.5e-5, 1.6e-5,
  // 3e-6, 2.1e-5 with sse4. So ten steps magnify the rounding of f32 to this, whatever computes the
  // convolutions.
  constexpr double kBound = 1.2e-4;
  for (const ConvAlgorithm algorithm : {ConvAlgorithm::direct, ConvAlgorithm::automatic,
                                        ConvAlgorithm::winograd2, ConvAlgorithm::winograd4}) {
    CAPTURE(static_cast<int>(algorithm));
    set_conv_algorithm(algorithm);
    CHECK(difference(loss_curve(training_case, cpu_backend(), DType::f32), reference) < kBound);
  }
  set_conv_algorithm(ConvAlgorithm::automatic);
}

TEST_CASE("ten steps of a tiny ViT in f32 follow the loss curve of f64") {
  // Measured: 1e-7. Its only convolution is that of the patches, which is no 3 x 3 one.
  const std::vector<double> reference = reference_curve(vit_tiny());
  CHECK(difference(loss_curve(vit_tiny(), cpu_backend(), DType::f32), reference) < 5e-7);
}

// AddressSanitizer's build takes every block from the system, on purpose.
#ifndef __SANITIZE_ADDRESS__
TEST_CASE("memory: a steady training step takes no page faults") {
  constexpr std::uint32_t kWarmUp = 3, kSteps = 3;
  Training training(resnet18(), cpu_backend(), DType::f32);
  const auto faults = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
  };
  std::uint32_t step = 0;
  while (step < kWarmUp) training.run_step(step++);
  const long before = faults();
  while (step < kWarmUp + kSteps) training.run_step(step++);
  // Measured: none; 8700 a step with every block taken from the system. Those that are let pass would be
  // pages of a thread's stack or of the C library's heap that no step before has touched.
  CHECK(faults() - before <= 8 * kSteps);
}
#endif
