// Checkpoint: a model's parameters and buffers as safetensors, by their file names.
// Invariant: the only place where memory and file layouts differ is here (convolution weights are [O,I,KH,KW]
// in files, fused parameters several file tensors). Loading is strict: names and shapes are checked before
// anything is changed.
#pragma once
#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "nn/module.h"
#include "nn/parameter.h"
#include "tensor/safetensors.h"

namespace sagitta::nn {

// A tensor of a checkpoint file and the memory of the model that it stands for.
struct FileTensor {
  std::string name;
  Tensor memory;  // a view of a parameter, of rows of it, or a buffer
  FileLayout layout = FileLayout::same;
  Parameter* whole = nullptr;  // the parameter, if it is all of it

  std::vector<std::int64_t> file_shape() const;
};

// Every parameter (its value, not the 16-bit copy), then every buffer. Whoever writes to `memory` calls
// refresh_copies() afterwards.
std::vector<FileTensor> file_tensors(const Module& model);
void refresh_copies(const Module& model);

struct LoadRules {
  // The model's name for a name in the file; an empty result leaves the tensor out. Default: the same name.
  std::function<std::string(const std::string&)> rename = {};
  // Names (the model's) that need not be loaded: they keep their values, and a tensor of the file under that
  // name is left out.
  std::set<std::string> keep = {};
  // Let parameters lie in the mapped file where they can (File::view), so that nothing is read before it is
  // used. For a model that is not in an arena yet, from files that nobody else uses.
  bool adopt = false;
};

// Fills the model from one or several files (shards). A missing BatchNorm counter `num_batches_tracked`
// counts as 0, as in PyTorch. Throws one Error that lists all missing, unexpected and misshapen names.
void load(Module& model, const std::vector<safetensors::File>& files, const LoadRules& rules = {});

// Writes all parameters and buffers under their file names, atomically.
void save(const Module& model, const std::filesystem::path& path,
          const safetensors::Metadata& metadata = safetensors::pytorch_metadata());

}  // namespace sagitta::nn
