// Matrix products: matmul and the fused linear layer.
#include "autograd/checks.h"
#include "autograd/ops.h"

namespace sagitta::autograd {
namespace {

struct Matmul {
  MatmulParams params;
  Tensor a, b;
  // y = A B with A = op(a), B = op(b): dA = dy B^T and dB = A^T dy, transposed back where the operand was.
  void backward(const Tensor& dy, const Inputs& inputs) {
    Backend& backend = dy.backend();
    const auto [ta, tb] = params;
    if (const Target da = inputs.target(0)) {
      if (ta)
        backend.matmul({.transpose_a = tb, .transpose_b = true}, b, dy, da);
      else
        backend.matmul({.transpose_a = false, .transpose_b = !tb}, dy, b, da);
    }
    if (const Target db = inputs.target(1)) {
      if (tb)
        backend.matmul({.transpose_a = true, .transpose_b = ta}, dy, a, db);
      else
        backend.matmul({.transpose_a = !ta, .transpose_b = false}, a, dy, db);
    }
  }
};

struct Linear {
  LinearParams params;
  Tensor x, weight, saved;  // matrices
  void backward(const Tensor& dy, const Inputs& inputs) {
    const Shape rows{dy.shape().rows(), dy.shape().back()};
    Target dx = inputs.target(0);
    if (dx) dx.dst = dx.dst.reshape(x.shape());
    dy.backend().linear_backward(params, x, weight, saved, dy.reshape(rows), dx, inputs.target(1),
                                 inputs.target(2));
  }
};

}  // namespace

Variable matmul(const MatmulParams& params, const Variable& a, const Variable& b) {
  require(a.shape().rank() == 2 && b.shape().rank() == 2, "matmul: shapes are {} and {}, expected matrices",
          a.shape(), b.shape());
  const std::int64_t m = a.shape()[params.transpose_a ? 1 : 0], k = a.shape()[params.transpose_a ? 0 : 1];
  const std::int64_t n = b.shape()[params.transpose_b ? 0 : 1];
  require(b.shape()[params.transpose_b ? 1 : 0] == k, "matmul: inner extents differ, {} and {}", a.shape(),
          b.shape());
  require_dtype("matmul", a.value().dtype(), {&b});
  Tensor y(a.value().backend(), {m, n}, a.value().dtype());
  y.backend().matmul(params, a.value(), b.value(), {y});
  return record(y, {a, b}, Matmul{params, a.value(), b.value()});
}

Variable linear(const Variable& x, const Variable& weight, const Variable& bias, const LinearParams& params) {
  require(x.shape().rank() >= 1 && weight.shape().rank() == 2 && x.shape().back() == weight.shape()[1],
          "linear: x is {} and weight {}, expected x [..,K] and weight [N,K]", x.shape(), weight.shape());
  const std::int64_t n = weight.shape()[0];
  require(!bias || bias.shape() == Shape{n}, "linear: bias is {}, expected [{}]", bias.shape(), n);
  require_dtype("linear", x.value().dtype(), {&weight, &bias});
  const Tensor rows = x.value().reshape({x.shape().rows(), x.shape().back()});
  Tensor y(rows.backend(), {rows.shape()[0], n}, rows.dtype());
  const Saves saves = saves_of(params.activation);
  Tensor pre = saves == Saves::input ? y.like() : Tensor();
  y.backend().linear(params, rows, weight.value(), bias.value(), pre, y);
  Tensor saved = saves == Saves::output ? y : pre;
  return record(y.reshape(x.shape().with(-1, n)), {x, weight, bias},
                Linear{params, rows, weight.value(), std::move(saved)});
}

}  // namespace sagitta::autograd
