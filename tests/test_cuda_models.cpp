// Whole training steps on a CUDA device: ten steps of each model beside the CPU's, and captured beside eager.
#include <doctest/doctest.h>

#include "cuda_test.h"
#include "training_steps.h"

using namespace sagitta;
using namespace sagitta::test;

namespace {

void check_curves(const TrainingCase& training_case) {
  const std::vector<double> cpu = loss_curve(training_case, cpu_backend(), DType::f32);
  CHECK(cpu.back() < 0.9 * cpu.front());  // something was learned, so the curve says something
  for (const auto& [dtype, bound] : {std::pair{DType::f32, 1e-4}, {DType::bf16, 2e-2}}) {
    CAPTURE(name_of(dtype));
    const std::vector<double> device = loss_curve(training_case, cuda_test_backend(), dtype);
    for (std::size_t step = 0; step < cpu.size(); ++step) {
      CAPTURE(step);
      CHECK(std::abs(device[step] - cpu[step]) <= bound);
    }
  }
}

void check_capture(const TrainingCase& training_case, DType dtype) {
  constexpr std::uint32_t kSteps = 5;
  Training eager(training_case, cuda_test_backend(), dtype),
      replayed(training_case, cuda_test_backend(), dtype);
  const auto captured = replayed.backend().capture([&] { replayed.enqueue_step(); });
  for (std::uint32_t step = 0; step < kSteps; ++step) {
    CAPTURE(step);
    eager.run_step(step);
    replayed.write_state(step);
    captured->replay();
    CHECK(eager.loss() == replayed.loss());
  }
  CHECK(eager.values() == replayed.values());
}

}  // namespace

TEST_CASE("ten steps of ResNet-18 follow the CPU's loss curve") { check_curves(resnet18()); }
TEST_CASE("ten steps of a tiny ViT follow the CPU's loss curve") { check_curves(vit_tiny()); }

TEST_CASE("a captured step of ResNet-18 does bitwise what an eager one does") {
  check_capture(resnet18(), DType::bf16);
}
TEST_CASE("a captured step of a tiny ViT does bitwise what an eager one does") {
  check_capture(vit_tiny(), DType::f16);
}
