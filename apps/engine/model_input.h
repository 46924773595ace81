// ModelInput: the fixed device memory through which batches reach a model.
// Bytes go up and become normalized pixels of the context's dtype on the device. upload() writes, normalize()
// belongs into the captured step: while the device computes one batch, the next can be uploaded.
#pragma once
#include "data/loader.h"
#include "nn/context.h"

namespace sagitta::apps {

class ModelInput {
 public:
  // Room for `batch_size` pictures of size x size x 3.
  ModelInput(const nn::Context& context, std::int64_t batch_size, std::int64_t size,
             const ImageParams& params);

  // Enqueues the upload of at most batch_size pictures; the rest keeps what it held.
  void upload(const data::Batch& batch);
  // Enqueues the normalization; returns the pixels [batch_size, size, size, 3].
  const Tensor& normalize();

 private:
  ImageParams params_;
  Tensor bytes_;   // u8 [batch_size, size, size, 3]
  Tensor crop_;    // i32 [batch_size, 3]
  Tensor pixels_;  // [batch_size, size, size, 3]
};

}  // namespace sagitta::apps
