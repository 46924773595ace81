#include "tests/golden_backend.h"

namespace sagitta::testing {

Backend& golden_backend() { return cpu_backend(); }

}  // namespace sagitta::testing
