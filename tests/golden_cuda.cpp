#include "tests/cuda_test.h"
#include "tests/golden_backend.h"

namespace sagitta::testing {

Backend& golden_backend() { return test::cuda_test_backend(); }

}  // namespace sagitta::testing
