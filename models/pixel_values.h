// pixel_values: a batch of pictures as transformers hands it to a model, and its way into one of ours.
// transformers has the channels first and any framework can save such a tensor as safetensors, so this is how
// the same input reaches two frameworks.
#pragma once
#include <filesystem>

#include "nn/context.h"

namespace sagitta::models {

// The tensor pixel_values [N,C,H,W] of a safetensors file, normalized already, as [N,H,W,C] in the context's
// dtype. Throws Error, naming the file, when there is none or it is empty or of another rank.
Tensor read_pixel_values(const std::filesystem::path& path, const nn::Context& context);

}  // namespace sagitta::models
