// A differentiable op that the library does not have: softplus(x) = log(1 + e^x), whose derivative is the
// logistic function. Its gradient is checked against central differences.
#include <algorithm>
#include <cmath>

#include "autograd/ops.h"

using namespace sagitta;
using autograd::Variable;

// What backward needs, and nothing else.
struct Softplus {
  Tensor x;
  // dx = dy / (1 + e^-x), or dx += when x has received a gradient from elsewhere already. An input that wants
  // none has an empty target.
  void backward(const Tensor& dy, const autograd::Inputs& inputs) {
    const Target dx = inputs.target(0);
    if (!dx) return;
    double* to = dx.dst.data<double>();
    for (std::int64_t i = 0; i < x.numel(); ++i) {
      const double gradient = dy.data<double>()[i] / (1 + std::exp(-x.data<double>()[i]));
      to[i] = dx.accumulate ? to[i] + gradient : gradient;
    }
  }
};

// Any shape, f64 on the CPU.
Variable softplus(const Variable& x) {
  const Tensor y = x.value().like();
  const double* from = x.value().data<double>();
  for (std::int64_t i = 0; i < y.numel(); ++i)  // e^-|x| does not overflow
    y.data<double>()[i] = std::max(from[i], 0.0) + std::log1p(std::exp(-std::fabs(from[i])));
  return autograd::record(y, {x}, Softplus{x.value()});
}

// x is used twice, so that its gradient is a sum. `weights` make every element count differently: with equal
// ones some mistakes cancel.
Variable loss(const Variable& x, const Variable& weights) {
  return autograd::sum(autograd::mul(autograd::mul(softplus(x), x), weights));
}

int main() {
  const std::vector<double> values{-3, -0.5, 0, 0.25, 2, 20};
  const Variable weights(from_host<double>(cpu_backend(), {6}, {0.3, -1.1, 0.7, 1.9, -0.4, 0.2}));
  const Variable x = autograd::leaf(from_host(cpu_backend(), {6}, values));
  backward(loss(x, weights));
  const std::vector<double> gradient = to_host<double>(x.gradient());
  const auto loss_at = [&](std::size_t element, double shift) {
    std::vector<double> moved = values;
    moved[element] += shift;
    return scalar_of(loss(Variable(from_host(cpu_backend(), {6}, moved)), weights).value());
  };
  double largest = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double h = 1e-5, difference = (loss_at(i, h) - loss_at(i, -h)) / (2 * h);
    fmt::print("x {:5.2f}  gradient {:9.6f}  central difference {:9.6f}\n", values[i], gradient[i],
               difference);
    largest = std::max(largest, std::fabs(gradient[i] - difference));
  }
  fmt::print("they differ by at most {:.1e}\n", largest);
  return largest < 1e-8 ? 0 : 1;
}
