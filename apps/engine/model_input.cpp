#include "apps/engine/model_input.h"

namespace sagitta::apps {

ModelInput::ModelInput(const nn::Context& context, std::int64_t batch_size, std::int64_t size,
                       const ImageParams& params)
    : params_(params),
      bytes_(zeros(context.backend(), {batch_size, size, size, 3}, DType::u8)),
      crop_(zeros(context.backend(), {batch_size, 3}, DType::i32)),
      pixels_(context.backend(), bytes_.shape(), context.dtype()) {}

void ModelInput::upload(const data::Batch& batch) {
  Tensor bytes = bytes_.slice(0, batch.size), crop = crop_.slice(0, batch.size);
  bytes_.backend().write(batch.pixels.data(), bytes);
  bytes_.backend().write(batch.crop.data(), crop);
}

const Tensor& ModelInput::normalize() {
  bytes_.backend().normalize_image(params_, bytes_, crop_, pixels_);
  return pixels_;
}

}  // namespace sagitta::apps
