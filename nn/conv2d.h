// 2D convolution on channels-last images; weights are [O,KH,KW,I] in memory and [O,I,KH,KW] in files.
#pragma once
#include <optional>

#include "autograd/ops.h"
#include "nn/module.h"
#include "nn/parameter.h"

namespace sagitta::nn {

struct Conv2dOptions {
  int kernel = 3;
  int stride = 1;
  int padding = 0;
  bool bias = false;
  std::optional<Init> weight_init = {};  // default: PyTorch's
  std::optional<Init> bias_init = {};
};

class Conv2d : public Module {
 public:
  Conv2d(Module* parent, std::string name, const Context& context, std::int64_t in, std::int64_t out,
         const Conv2dOptions& options);

  autograd::Variable operator()(const autograd::Variable& x) const;  // [N,H,W,in] -> [N,OH,OW,out]

  const Conv2dParams& params() const { return params_; }

  Parameter weight;
  std::optional<Parameter> bias;

 private:
  Conv2dParams params_;
};

}  // namespace sagitta::nn
