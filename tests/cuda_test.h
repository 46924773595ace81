// The CUDA device of a test: a GPU, or the emulated one. The same test sources are linked with either; where
// there is neither, the program ends with kSkipped and ctest says "skipped".
#pragma once
#include "cuda/cuda.h"
#include "tensor/backend.h"

namespace sagitta::test {

inline constexpr int kSkipped = 77;

// cuda:0, with the attention kernels of this project unless the program was told otherwise (cuda_main.cpp).
Backend& cuda_test_backend();
bool is_emulated();

}  // namespace sagitta::test
