// main() of the tests that need a CUDA device.
// --schedule=N: in which order the emulated device runs its threads; a GPU has its own.
// --attention=cudnn: cuDNN's attention where it applies, in place of this project's.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <fmt/core.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "cuda_test.h"

namespace sagitta::test {

Backend& cuda_test_backend() { return backend_for({Device::Kind::cuda, 0}); }

bool is_emulated() { return cuda::device_name(0) == "emulated"; }

}  // namespace sagitta::test

int main(int argc, char** argv) {
  constexpr std::string_view kSchedule = "--schedule=";
  bool lists_only = false, cudnn_attention = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.starts_with(kSchedule))
      setenv("SAGITTA_EMULATOR_SCHEDULE", argument.substr(kSchedule.size()).data(), 1);
    lists_only |= argument.starts_with("--list");
    cudnn_attention |= argument == "--attention=cudnn";
  }
  doctest::Context context(argc, argv);
  if (!lists_only && sagitta::cuda::device_count() == 0) {
    fmt::print("skipped: {}\n", sagitta::cuda::unavailable_reason());
    return sagitta::test::kSkipped;
  }
  sagitta::cuda::register_backend({.cudnn_attention = cudnn_attention, .time_algorithms = false});
  return context.run();
}
