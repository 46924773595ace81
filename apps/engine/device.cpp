#include "apps/engine/device.h"

#include <cstdio>
#include <regex>

#include "apps/engine/option_group.h"
#include "cuda/cuda.h"
#include "tensor/cpu_options.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

constexpr const char* kGroup = "Device";

// In the order in which they are listed to the user.
constexpr std::pair<const char*, ConvAlgorithm> kConvAlgorithms[] = {{"auto", ConvAlgorithm::automatic},
                                                                     {"direct", ConvAlgorithm::direct},
                                                                     {"winograd2", ConvAlgorithm::winograd2},
                                                                     {"winograd4", ConvAlgorithm::winograd4}};

// The index of "cuda" (0) or "cuda:<index>"; -1 for anything else.
int gpu_index(const std::string& device) {
  std::smatch match;
  if (!std::regex_match(device, match, std::regex("cuda(?::([0-9]{1,4}))?"))) return -1;
  return match[1].matched ? std::stoi(match[1]) : 0;
}

}  // namespace

void add_device_options(CLI::App& app, DeviceOptions& o) {
  app.add_option("--device", o.device, "cpu, cuda, cuda:INDEX, or auto: a GPU when there is one")
      ->check([](const std::string& name) {
        return name == "auto" || name == "cpu" || gpu_index(name) >= 0
                   ? std::string()
                   : "expected cpu, cuda, cuda:INDEX or auto";
      })
      ->group(kGroup)
      ->capture_default_str();
  app.add_option(
         "--precision", o.precision,
         "f32; on a GPU also tf32 (f32 with faster products), bf16 or fp16 (16-bit activations, f32 weights)")
      ->check(CLI::IsMember(Names{"f32", "tf32", "bf16", "fp16"}))
      ->group(kGroup)
      ->capture_default_str();
  app.add_option("--attention", o.attention, "on a GPU: cudnn, or own (this project's flash attention)")
      ->check(CLI::IsMember(Names{"cudnn", "own"}))
      ->group(kGroup)
      ->capture_default_str();
  add_conv_algo_option(app, o.conv_algo);
}

void add_conv_algo_option(CLI::App& app, std::string& name) {
  Names names;
  for (const auto& [known, algorithm] : kConvAlgorithms) names.push_back(known);
  app.add_option("--conv-algo", name,
                 "on the CPU, 3 x 3 convolutions: direct (their definition), winograd2 or winograd4 (fewer "
                 "multiplications, larger rounding errors), or auto: the fastest for each shape")
      ->check(CLI::IsMember(names))
      ->group(kGroup)
      ->capture_default_str();
}

void choose_conv_algorithm(const std::string& name) {
  for (const auto& [known, algorithm] : kConvAlgorithms)
    if (name == known) return set_conv_algorithm(algorithm);
  fail("--conv-algo {}: there is no such algorithm", name);
}

Device choose_device(const DeviceOptions& options, int gpus, const std::string& unavailable) {
  const int index = gpu_index(options.device);
  require(index < 0 || gpus > 0, "--device {}: {}", options.device, unavailable);
  require(index < gpus, "--device {}: this machine has {} GPU(s), numbered from 0", options.device, gpus);
  if (index >= 0) return {Device::Kind::cuda, index};
  if (options.device == "auto" && gpus > 0) return {Device::Kind::cuda, 0};
  require(options.precision == "f32", "--precision {} needs a GPU ({}); use --precision f32",
          options.precision, options.device == "cpu" ? "this is --device cpu" : unavailable);
  return {};
}

Device choose_device(const DeviceOptions& options) {
  return choose_device(options, cuda::device_count(), cuda::unavailable_reason());
}

std::string describe(const Device& device) {
  if (device.kind == Device::Kind::cpu) return device.str();
  return fmt::format("{} ({})", device.str(), cuda::device_name(device.index));
}

OpenedDevice open_device(const DeviceOptions& options) {
  const Device device = choose_device(options);
  choose_conv_algorithm(options.conv_algo);
  if (device.kind == Device::Kind::cuda) {
    cuda::register_backend(
        {.tf32 = options.precision == "tf32", .cudnn_attention = options.attention == "cudnn"});
    fmt::print(stderr, "device: {}, {}\n", describe(device), options.precision);
  }
  const DType dtype = options.precision == "bf16"   ? DType::bf16
                      : options.precision == "fp16" ? DType::f16
                                                    : DType::f32;
  return {backend_for(device), dtype};
}

}  // namespace sagitta::apps
