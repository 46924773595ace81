// Dropout and the losses. A loss computes its gradient by the logits in the same sweep as its value; backward
// only scales it.
#include "autograd/ops.h"
#include "tensor/error.h"

namespace sagitta::autograd {
namespace {

struct Dropout {
  DropoutParams params;
  Tensor state;
  void backward(const Tensor& dy, const Inputs& inputs) {
    dy.backend().dropout_backward(params, state, dy, inputs.target(0));
  }
};

struct Loss {
  Tensor dlogits;
  void backward(const Tensor& dy, const Inputs& inputs) {
    dy.backend().scale_by(dlogits, dy, inputs.target(0));
  }
};

void require_logits(const char* op, const Variable& logits) {
  require(logits.shape().rank() == 2 && logits.shape().numel() > 0, "{}: logits are {}, expected [B,K]", op,
          logits.shape());
  require(!is_half(logits.value().dtype()), "{}: logits are {}, expected f32 or f64; cast them first", op,
          name_of(logits.value().dtype()));
}

}  // namespace

Variable dropout(const Variable& x, const DropoutParams& params, const Tensor& state) {
  require(params.p >= 0 && params.p < 1, "dropout: p is {}, expected 0 <= p < 1", params.p);
  if (params.p == 0) return x;
  require(static_cast<bool>(state), "dropout: a step state is needed");
  Tensor y = x.value().like();
  y.backend().dropout(params, state, x.value(), y);
  return record(y, {x}, Dropout{params, state});
}

Variable softmax_cross_entropy(const Variable& logits, const Tensor& labels,
                               const CrossEntropyParams& params) {
  require_logits("softmax_cross_entropy", logits);
  require(labels.dtype() == DType::i64 && labels.shape() == Shape{logits.shape()[0]},
          "softmax_cross_entropy: labels are {} {}, expected i64 [{}]", name_of(labels.dtype()),
          labels.shape(), logits.shape()[0]);
  Tensor loss(logits.value().backend(), {1}, logits.value().dtype());
  Tensor dlogits = logits.value().like();
  loss.backend().softmax_cross_entropy(params, logits.value(), labels, loss, dlogits);
  return record(loss, {logits}, Loss{std::move(dlogits)});
}

Variable bce_with_logits(const Variable& logits, const Tensor& targets, const Tensor& pos_weight,
                         const Tensor& weight) {
  require_logits("bce_with_logits", logits);
  const Shape& shape = logits.shape();
  const auto require_table = [&](const char* name, const Tensor& table, const Shape& expected) {
    require(!table || (table.shape() == expected && table.dtype() == logits.value().dtype()),
            "bce_with_logits: {} is {} {}, expected {} {}", name, name_of(table.dtype()), table.shape(),
            name_of(logits.value().dtype()), expected);
  };
  require(static_cast<bool>(targets), "bce_with_logits: targets are empty, expected {}", shape);
  require_table("targets", targets, shape);
  require_table("pos_weight", pos_weight, {shape[1]});
  require_table("weight", weight, shape);
  Tensor loss(logits.value().backend(), {1}, logits.value().dtype());
  Tensor dlogits = logits.value().like();
  loss.backend().bce_with_logits(logits.value(), targets, pos_weight, weight, loss, dlogits);
  return record(loss, {logits}, Loss{std::move(dlogits)});
}

}  // namespace sagitta::autograd
