// Fully connected layer: y = activation(x W^T + b).
#pragma once
#include <optional>

#include "autograd/ops.h"
#include "nn/module.h"
#include "nn/parameter.h"

namespace sagitta::nn {

struct LinearOptions {
  bool bias = true;
  UnaryOp activation = UnaryOp::identity;  // fused into the product
  std::optional<Init> weight_init = {};    // default: PyTorch's
  std::optional<Init> bias_init = {};
};

class Linear : public Module {
 public:
  Linear(Module* parent, std::string name, const Context& context, std::int64_t in, std::int64_t out,
         const LinearOptions& options = {});

  autograd::Variable operator()(const autograd::Variable& x) const;  // [..,in] -> [..,out]

  Parameter weight;  // [out, in]
  std::optional<Parameter> bias;

 private:
  LinearParams params_;
};

}  // namespace sagitta::nn
