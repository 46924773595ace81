// Convolution and its gradients as seven nested loops in double, and the comparison with a backend's.
#pragma once
#include "kernel_reference.h"

namespace sagitta::testing {

struct Convolution {
  Index batch, height, width, inputs, outputs, kernel_height, kernel_width;
  Conv2dParams params;

  Index out_height() const { return params.out(height, kernel_height); }
  Index out_width() const { return params.out(width, kernel_width); }
  Shape x() const { return {batch, height, width, inputs}; }
  Shape weight() const { return {outputs, kernel_height, kernel_width, inputs}; }
  Shape y() const { return {batch, out_height(), out_width(), outputs}; }

  // Calls term(index in x, index in weight, index in y) for every product that the convolution sums.
  template <class Term>
  void for_each_term(const Term& term) const {
    for (Index n = 0; n < batch; ++n)
      for (Index oh = 0; oh < out_height(); ++oh)
        for (Index ow = 0; ow < out_width(); ++ow)
          for (Index kh = 0; kh < kernel_height; ++kh)
            for (Index kw = 0; kw < kernel_width; ++kw) {
              const Index h = oh * params.stride - params.padding + kh,
                          w = ow * params.stride - params.padding + kw;
              if (h < 0 || h >= height || w < 0 || w >= width) continue;
              for (Index o = 0; o < outputs; ++o)
                for (Index i = 0; i < inputs; ++i)
                  term(static_cast<std::size_t>(((n * height + h) * width + w) * inputs + i),
                       static_cast<std::size_t>(((o * kernel_height + kh) * kernel_width + kw) * inputs + i),
                       static_cast<std::size_t>(((n * out_height() + oh) * out_width() + ow) * outputs + o));
            }
  }
};

inline void check_convolution(const Convolution& c, DType dtype) {
  CAPTURE(c.x().str());
  CAPTURE(c.weight().str());
  CAPTURE(c.params.stride);
  CAPTURE(c.params.padding);
  const Tensor x = random_tensor(c.x(), dtype, 1), weight = random_tensor(c.weight(), dtype, 2);
  const Tensor dy = random_tensor(c.y(), dtype, 3);
  const Values xs = values_of(x), weights = values_of(weight), dys = values_of(dy);
  Values y(dys.size()), dx(xs.size()), dweight(weights.size());
  c.for_each_term([&](std::size_t in, std::size_t tap, std::size_t out) {
    y[out] += xs[in] * weights[tap];
    dx[in] += dys[out] * weights[tap];
    dweight[tap] += dys[out] * xs[in];
  });
  Tensor got = poisoned(c.y(), dtype);
  cpu_backend().conv2d(c.params, x, weight, got);
  CHECK(difference(got, y) < tolerance(dtype));
  check_target(c.x(), dtype, dx, [&](const Target& target) {
    cpu_backend().conv2d_backward_input(c.params, weight, dy, target);
  });
  check_target(c.weight(), dtype, dweight,
               [&](const Target& target) { cpu_backend().conv2d_backward_weight(c.params, x, dy, target); });
}

}  // namespace sagitta::testing
