// A GPU that is played, for tests of what stands between the CUDA backend and cuDNN: plans are made by the
// real cuDNN for the H100 of h100.json, but executing one only notes what would have run on which memory. The
// functions of cuDNN and of the CUDA runtime that need a GPU are defined in played_gpu.cpp, and the linker
// takes those.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace sagitta::test {

struct PlayedGpu {
  struct Execution {
    std::size_t plan;                       // counted in the order of first execution
    std::map<std::int64_t, void*> binding;  // memory by uid
  };

  bool capturing = false;
  std::size_t fast_plan = 0;  // takes half as long as the others
  float clock = 0;
  std::vector<void*> plans;
  std::vector<Execution> executions;
};

PlayedGpu& played_gpu();

// The description of an H100, and the libcuda stub loaded.
std::string h100_description();

}  // namespace sagitta::test
