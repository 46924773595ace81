// Views and copies along the leading axis.
#include "autograd/checks.h"
#include "autograd/ops.h"

namespace sagitta::autograd {
namespace {

struct Reshape {
  Shape input;
  void backward(const Tensor& dy, const Inputs& inputs) { inputs.add(0, dy.reshape(input)); }
};

struct Slice {
  std::int64_t begin, end;
  // The rows outside the slice get no gradient; zero them when nothing was there before.
  void backward(const Tensor& dy, const Inputs& inputs) {
    Target dx = inputs.target(0);
    if (!dx) return;
    if (!dx.accumulate) dy.backend().fill(dx.dst, 0);
    dy.backend().scale(dy, 1, {dx.dst.slice(begin, end), dx.accumulate});
  }
};

struct Concat {
  std::vector<std::int64_t> ends;
  void backward(const Tensor& dy, const Inputs& inputs) {
    std::int64_t begin = 0;
    for (std::size_t i = 0; i < ends.size(); begin = ends[i++])
      if (const Target dx = inputs.target(i)) dy.backend().scale(dy.slice(begin, ends[i]), 1, dx);
  }
};

}  // namespace

Variable reshape(const Variable& x, const Shape& shape) {
  return record(x.value().reshape(shape), {x}, Reshape{x.shape()});
}

Variable slice(const Variable& x, std::int64_t begin, std::int64_t end) {
  return record(x.value().slice(begin, end), {x}, Slice{begin, end});
}

Variable concat(const std::vector<Variable>& parts) {
  require(!parts.empty(), "concat: no parts, expected at least one");
  std::vector<std::int64_t> ends;
  std::int64_t rows = 0;
  for (const Variable& part : parts) {
    require(part.shape().rank() >= 1 && part.shape().with(0, 0) == parts[0].shape().with(0, 0),
            "concat: part {} does not match {} behind the leading axis", part.shape(), parts[0].shape());
    require_dtype("concat", parts[0].value().dtype(), {&part});
    ends.push_back(rows += part.shape()[0]);
  }
  Tensor y(parts[0].value().backend(), parts[0].shape().with(0, rows), parts[0].value().dtype());
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < parts.size(); begin = ends[i++])
    y.backend().scale(parts[i].value(), 1, {y.slice(begin, ends[i])});
  return record(y, parts, Concat{std::move(ends)});
}

}  // namespace sagitta::autograd
