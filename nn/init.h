// How a parameter gets its first values: declared where the parameter is declared, carried out by
// initialize(). Numbers come from counter-based Philox keyed by (seed, parameter's position), so a model has
// the same start on every device and for any thread count.
#pragma once
#include <cstdint>
#include <vector>

namespace sagitta::nn {

class Module;

struct Init {
  enum class Kind { constant, uniform, normal };
  Kind kind = Kind::constant;
  double value =
      0;  // the constant; the bound of uniform(-value, value); the standard deviation of normal(0, value)

  static Init constant(double value) { return {Kind::constant, value}; }
  static Init normal(double standard_deviation) { return {Kind::normal, standard_deviation}; }
  // He et al., 2015, for ReLU: normal with std sqrt(2 / fan_out).
  static Init kaiming_normal(std::int64_t fan_out);
  // PyTorch's default for the weight and the bias of Linear and Conv2d: uniform within 1/sqrt(fan_in).
  static Init torch_default(std::int64_t fan_in);

  // `count` values of random stream `stream`.
  std::vector<double> values(std::int64_t count, std::uint64_t seed, std::uint32_t stream) const;
};

// Gives every parameter of the model its declared first values and every buffer its start.
void initialize(Module& model, std::uint64_t seed);

}  // namespace sagitta::nn
