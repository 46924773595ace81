#include "models/pixel_values.h"

#include "tensor/error.h"
#include "tensor/safetensors.h"

namespace sagitta::models {

Tensor read_pixel_values(const std::filesystem::path& path, const nn::Context& context) {
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

}  // namespace sagitta::models
