#include "nn/init.h"

#include <cmath>

#include "nn/module.h"
#include "nn/parameter.h"

namespace sagitta::nn {
namespace {

// A `step` that no training run reaches: initial values never repeat the numbers of a dropout mask.
constexpr std::uint32_t kInitStep = 0xFFFFFFFFu;

}  // namespace

Init Init::kaiming_normal(std::int64_t fan_out) {
  return normal(std::sqrt(2.0 / static_cast<double>(fan_out)));
}

Init Init::torch_default(std::int64_t fan_in) {
  return {Kind::uniform, 1 / std::sqrt(static_cast<double>(fan_in))};
}

std::vector<double> Init::values(std::int64_t count, std::uint64_t seed, std::uint32_t stream) const {
  const random::Key key{seed, stream, kInitStep};
  std::vector<double> result(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < result.size(); ++i) {
    switch (kind) {
      case Kind::constant: result[i] = value; break;
      case Kind::uniform: result[i] = value * (2.0 * random::uniform(key, i) - 1); break;
      case Kind::normal: result[i] = value * random::normal(key, i); break;
    }
  }
  return result;
}

void initialize(Module& model, std::uint64_t seed) {
  std::uint32_t stream = 0;
  for (const NamedParameter& named : model.named_parameters()) {
    Parameter& parameter = *named.parameter;
    parameter.assign(parameter.init().values(parameter.shape().numel(), seed, stream++));
  }
  for (const NamedBuffer& named : model.named_buffers()) named.buffer->reset();
}

}  // namespace sagitta::nn
