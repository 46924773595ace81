// The CUDA backend as the rest of the project sees it: whether there is a GPU, and how to open it.
// Every build has this header's functions; one without the CUDA toolkit answers that it lacks it.
#pragma once
#include <string>

namespace sagitta::cuda {

struct Options {
  bool tf32 = false;            // f32 products on tensor cores with 10 bits of mantissa
  bool cudnn_attention = true;  // false: the flash attention kernels of this project
  bool deterministic = true;    // only algorithms that give the same bits each time
  // The libraries' algorithms are timed once for every new shape and the fastest is kept, on disk too. false:
  // their first guess, which saves seconds per shape in a program that meets each once, as a test does.
  bool time_algorithms = true;
};

// GPUs that can be used; 0 when there is none, or no driver, or this build has no CUDA.
int device_count();
// "NVIDIA H100 80GB HBM3"
std::string device_name(int index);
// Why device_count() is 0, with the repair; empty when it is not.
std::string unavailable_reason();

// Makes backend_for({Device::Kind::cuda, i}) open GPU i with these options. Call before the first use.
void register_backend(const Options& options);

}  // namespace sagitta::cuda
