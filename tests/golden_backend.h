// The device that test_golden.cpp runs on: golden_cpu.cpp or golden_cuda.cpp says which.
#pragma once
#include "tensor/backend.h"

namespace sagitta::testing {

Backend& golden_backend();

}  // namespace sagitta::testing
