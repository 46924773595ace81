// Elementwise ops: the formulas stand in tensor/elementwise.h, here only what they save.
#include "autograd/addition.h"
#include "autograd/cast.h"
#include "autograd/checks.h"
#include "autograd/ops.h"

namespace sagitta::autograd {
namespace {

struct Unary {
  UnaryOp op;
  Tensor saved;
  void backward(const Tensor& dy, const Inputs& inputs) {
    dy.backend().unary_backward(op, saved, dy, inputs.target(0));
  }
};

struct Binary {
  BinaryOp op;
  Tensor a, b;
  void backward(const Tensor& dy, const Inputs& inputs) {
    // One after the other: a and b may be the same variable, whose second gradient must see the first.
    dy.backend().binary_backward(op, a, b, dy, inputs.target(0), {});
    dy.backend().binary_backward(op, a, b, dy, {}, inputs.target(1));
  }
};

struct Scale {
  double alpha;
  void backward(const Tensor& dy, const Inputs& inputs) { dy.backend().scale(dy, alpha, inputs.target(0)); }
};

struct Sum {
  Spec input;
  void backward(const Tensor& dy, const Inputs& inputs) {
    const Tensor ones = full(*input.backend, input.shape, input.dtype, 1);
    Tensor factor(*input.backend, {1}, accumulate_dtype(input.dtype));
    dy.backend().convert(dy, factor);
    dy.backend().scale_by(ones, factor, inputs.target(0));
  }
};

}  // namespace

Variable unary(UnaryOp op, const Variable& x) {
  Tensor y = x.value().like();
  y.backend().unary(op, x.value(), y);
  const Saves saves = saves_of(op);
  Tensor saved = saves == Saves::input ? x.value() : saves == Saves::output ? y : Tensor();
  return record(y, {x}, Unary{op, std::move(saved)});
}

Variable binary(BinaryOp op, const Variable& a, const Variable& b) {
  require(a.shape() == b.shape(), "binary op: shapes differ, {} and {}", a.shape(), b.shape());
  require_dtype("binary op", a.value().dtype(), {&b});
  Tensor y = a.value().like();
  y.backend().binary(op, a.value(), b.value(), y);
  if (op == BinaryOp::add) return record(y, {a, b}, Addition{});
  if (saves_of(op) == Saves::nothing) return record(y, {a, b}, Binary{op, {}, {}});
  return record(y, {a, b}, Binary{op, a.value(), b.value()});
}

Variable scale(const Variable& x, double alpha) {
  Tensor y = x.value().like();
  y.backend().scale(x.value(), alpha, {y});
  return record(y, {x}, Scale{alpha});
}

Variable sum(const Variable& x) {
  Tensor y(x.value().backend(), {1}, x.value().dtype());
  y.backend().sum(x.value(), y);
  return record(y, {x}, Sum{Spec(x.value())});
}

Variable cast(const Variable& x, DType dtype) {
  if (x.value().dtype() == dtype) return x;
  Tensor y(x.value().backend(), x.shape(), dtype);
  y.backend().convert(x.value(), y);
  return record(y, {x}, Cast{});
}

}  // namespace sagitta::autograd
