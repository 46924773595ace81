// The public face of a build without the CUDA toolkit: says so.
#include "cuda/cuda.h"
#include "tensor/backend.h"
#include "tensor/error.h"

namespace sagitta::cuda {

int device_count() { return 0; }

std::string device_name(int) { return {}; }

std::string unavailable_reason() {
  return "this build has no CUDA backend; install the CUDA toolkit and cuDNN 9, then configure and build "
         "again";
}

void register_backend(const Options&) {
  sagitta::register_backend(Device::Kind::cuda,
                            [](int index) -> Backend& { fail("cuda:{}: {}", index, unavailable_reason()); });
}

}  // namespace sagitta::cuda
