// forward: runs a model on pixels from a file, for comparison with any other framework.
#include <cstdio>
#include <filesystem>

#include "apps/engine/device.h"
#include "apps/engine/main_guard.h"
#include "models/hugging_face.h"
#include "nn/constant_parameters.h"
#include "tensor/safetensors.h"

namespace {

using namespace sagitta;

// pixel_values [N,C,H,W] of the file as [N,H,W,C] in the dtype of the context.
Tensor read_pixels(const std::filesystem::path& path, const nn::Context& context) {
  const safetensors::File file = safetensors::File::open(path);
  const safetensors::Entry& entry = file.at("pixel_values");
  require(entry.shape.size() == 4 && entry.numel() > 0, "{}: pixel_values is {}, expected [N, C, H, W]",
          path.string(), entry.shape_str());
  const auto n = entry.shape[0], channels = entry.shape[1], area = entry.shape[2] * entry.shape[3];
  const std::vector<float> nchw = safetensors::values_of<float>(entry);
  std::vector<float> nhwc(nchw.size());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t p = 0; p < area; ++p)
        nhwc[static_cast<std::size_t>((i * area + p) * channels + c)] =
            nchw[static_cast<std::size_t>((i * channels + c) * area + p)];
  Tensor pixels(context.backend(), {n, entry.shape[2], entry.shape[3], channels}, context.dtype());
  context.backend().convert(from_host(context.backend(), pixels.shape(), nhwc), pixels);
  return pixels;
}

}  // namespace

int main(int argc, char** argv) {
  std::string model_path, input, output;
  std::int64_t batch = 8;
  apps::DeviceOptions device_options;
  CLI::App app(
      "Runs a model: pixel_values [N, 3, H, W] from a safetensors file to logits [N, labels] in another.",
      "forward");
  app.add_option("--model", model_path,
                 "Hugging Face directory, or a .safetensors file beside its config.json")
      ->required();
  app.add_option("--input", input, "safetensors file with pixel_values, normalized already")->required();
  app.add_option("--output", output, "safetensors file to write")->required();
  app.add_option("--batch", batch, "Images at a time")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  apps::add_device_options(app, device_options);
  return apps::run_main(app, argc, argv, [&] {
    const apps::OpenedDevice device = apps::open_device(device_options);
    nn::Context context(device.backend, device.dtype);
    const auto model = models::import_model(model_path, context);
    model->eval();
    const autograd::NoGradient no_gradient;
    const nn::ConstantParameters constant(*model);
    const Tensor pixels = read_pixels(input, context);
    const std::int64_t n = pixels.shape()[0];
    Tensor logits(device.backend, {n, model->config().num_labels()}, DType::f32);
    for (std::int64_t begin = 0; begin < n; begin += batch) {
      const std::int64_t end = std::min(n, begin + batch);
      Tensor rows = logits.slice(begin, end);
      device.backend.convert(model->logits(autograd::Variable(pixels.slice(begin, end))).value(), rows);
    }
    safetensors::write(output, {safetensors::source_of("logits", logits)});
    return 0;
  });
}
