// forward: runs a model on pixels from a file, for comparison with any other framework.
#include "apps/engine/device.h"
#include "apps/engine/main_guard.h"
#include "models/hugging_face.h"
#include "models/pixel_values.h"
#include "nn/constant_parameters.h"
#include "tensor/safetensors.h"

int main(int argc, char** argv) {
  using namespace sagitta;
  std::string model_path, input, output;
  std::int64_t batch = 8;
  apps::DeviceOptions device_options;
  CLI::App app(
      "Runs a model: pixel_values [N, 3, H, W] from a safetensors file to logits [N, labels] in another.",
      "forward");
  app.add_option("--model", model_path,
                 "Hugging Face directory, or a .safetensors file beside its config.json")
      ->required()
      ->type_name("FILE");
  app.add_option("--input", input, "safetensors file with pixel_values, normalized already")
      ->required()
      ->type_name("FILE");
  app.add_option("--output", output, "safetensors file to write")->required()->type_name("FILE");
  app.add_option("--batch", batch, "Images at a time")->check(CLI::Range(1, 1 << 20))->capture_default_str();
  apps::add_device_options(app, device_options);
  return apps::run_main(app, argc, argv, [&] {
    const apps::OpenedDevice device = apps::open_device(device_options);
    nn::Context context(device.backend, device.dtype);
    const auto model = models::import_model(model_path, context);
    model->eval();
    const autograd::NoGradient no_gradient;
    const nn::ConstantParameters constant(*model);
    const Tensor pixels = models::read_pixel_values(input, context);
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
