// The spellings of tensor names in checkpoints, translated to the ones of our modules.
#pragma once
#include <string>

#include "models/config.h"

namespace sagitta::models {

// Our name for the name of a tensor in a file; empty for tensors that a classifier does not use (the pooler
// and the mask token of a ViT). A name of no known spelling is returned unchanged.
std::string module_name_of(const ModelConfig& config, const std::string& file_name);

}  // namespace sagitta::models
