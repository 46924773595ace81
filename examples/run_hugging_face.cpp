// Runs an image classifier from a Hugging Face directory (a ViT or a ResNet, as save_pretrained leaves it) on
// the pixel_values [N,C,H,W] of a safetensors file, and prints the logits and the likeliest label of each
// image.
#include <algorithm>

#include "models/hugging_face.h"
#include "models/pixel_values.h"
#include "nn/constant_parameters.h"
#include "tensor/error.h"

int main(int argc, char** argv) try {
  using namespace sagitta;
  require(argc == 3, "usage: run_hugging_face MODEL_DIRECTORY PIXELS.safetensors");
  nn::Context context(cpu_backend());
  const auto model = models::import_model(argv[1], context);
  model->eval();
  const autograd::NoGradient no_gradient;         // no graph for a backward pass
  const nn::ConstantParameters constant(*model);  // weights are prepared once, not for every batch
  const autograd::Variable pixels(models::read_pixel_values(argv[2], context));
  const Tensor logits = model->logits(pixels).value();  // [N, labels]
  for (std::int64_t image = 0; image < logits.shape()[0]; ++image) {
    const std::vector<float> row = to_host<float>(logits.slice(image, image + 1));
    const auto best = std::max_element(row.begin(), row.end()) - row.begin();
    fmt::print("{}: {:.5f}\n", model->config().labels[static_cast<std::size_t>(best)], fmt::join(row, " "));
  }
} catch (const sagitta::Error& error) {
  fmt::print(stderr, "error: {}\n", error.what());
  return 1;
}
