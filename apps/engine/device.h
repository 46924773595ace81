// Which device a program computes on, in which precision and how: the flags --device, --precision,
// --attention and --conv-algo. The one place where a program meets the CUDA backend; everything else sees a
// Backend and a DType.
#pragma once
#include <CLI/App.hpp>
#include <string>

#include "tensor/backend.h"

namespace sagitta::apps {

struct DeviceOptions {
  std::string device = "auto";      // cpu, cuda, cuda:<index>; auto: a GPU when there is one
  std::string precision = "f32";    // f32, tf32, bf16, fp16
  std::string attention = "cudnn";  // cudnn, own
  std::string conv_algo = "auto";   // auto, direct, winograd2, winograd4
};

void add_device_options(CLI::App& app, DeviceOptions& options);
// --conv-algo by itself, for a program that knows only the CPU, and what it does (tensor/cpu_options.h).
void add_conv_algo_option(CLI::App& app, std::string& name);
void choose_conv_algorithm(const std::string& name);

// The device that the options mean on a machine with `gpus` usable GPUs. Throws Error when it is not there
// (for the reason `unavailable`), or cannot compute in the precision.
Device choose_device(const DeviceOptions& options, int gpus, const std::string& unavailable);
Device choose_device(const DeviceOptions& options);  // on this machine
std::string describe(const Device& device);          // "cpu", "cuda:0 (NVIDIA H100 80GB HBM3)"

struct OpenedDevice {
  Backend& backend;
  DType dtype;  // of the model's activations
};

// Opens the chosen device, sets the algorithm of convolutions and says on stderr which GPU it is.
OpenedDevice open_device(const DeviceOptions& options);

}  // namespace sagitta::apps
