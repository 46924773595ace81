// Attention and the token ops of the vision transformer.
#include <cmath>

#include "autograd/checks.h"
#include "autograd/ops.h"

namespace sagitta::autograd {
namespace {

struct Attention {
  AttentionParams params;
  Tensor state, qkv, y, lse;
  void backward(const Tensor& dy, const Inputs& inputs) {
    dy.backend().attention_backward(params, state, qkv, y, lse, dy, inputs.target(0));
  }
};

struct PrependToken {
  void backward(const Tensor& dy, const Inputs& inputs) {
    dy.backend().prepend_token_backward(dy, inputs.target(0), inputs.target(1), inputs.target(2));
  }
};

struct SelectToken {
  std::int64_t index;
  void backward(const Tensor& dy, const Inputs& inputs) {
    dy.backend().select_token_backward(dy, index, inputs.target(0));
  }
};

struct ResizeBicubic {
  void backward(const Tensor& dy, const Inputs& inputs) {
    dy.backend().resize_bicubic_backward(dy, inputs.target(0));
  }
};

Variable resize_bicubic(const Variable& x, std::int64_t height, std::int64_t width) {
  Tensor y(x.value().backend(), {height, width, x.shape().back()}, x.value().dtype());
  y.backend().resize_bicubic(x.value(), y);
  return record(y, {x}, ResizeBicubic{});
}

}  // namespace

Variable attention(const Variable& qkv, const AttentionParams& params, const Tensor& state) {
  require(qkv.shape().rank() == 3 && params.heads >= 1 && qkv.shape().back() % (3 * params.heads) == 0,
          "attention: qkv is {}, expected [B,T,3*D] with D a multiple of {} heads", qkv.shape(),
          params.heads);
  require(params.dropout == 0 || state, "attention: dropout {} needs a step state", params.dropout);
  const std::int64_t batch = qkv.shape()[0], tokens = qkv.shape()[1];
  Tensor y(qkv.value().backend(), {batch, tokens, qkv.shape().back() / 3}, qkv.value().dtype());
  Tensor lse(y.backend(), {batch, params.heads, tokens}, accumulate_dtype(y.dtype()));
  y.backend().attention(params, state, qkv.value(), y, lse);
  return record(y, {qkv}, Attention{params, state, qkv.value(), y, lse});
}

Variable prepend_token(const Variable& patches, const Variable& cls, const Variable& positions) {
  require(patches.shape().rank() == 3, "prepend_token: patches are {}, expected [B,T,D]", patches.shape());
  const std::int64_t batch = patches.shape()[0], tokens = patches.shape()[1] + 1, width = patches.shape()[2];
  require(cls.shape() == Shape{1, 1, width}, "prepend_token: cls is {}, expected [1, 1, {}]", cls.shape(),
          width);
  require(positions.shape() == Shape{1, tokens, width},
          "prepend_token: positions are {}, expected [1, {}, {}]", positions.shape(), tokens, width);
  require_dtype("prepend_token", patches.value().dtype(), {&cls, &positions});
  Tensor y(patches.value().backend(), {batch, tokens, width}, patches.value().dtype());
  y.backend().prepend_token(patches.value(), cls.value(), positions.value(), y);
  return record(y, {patches, cls, positions}, PrependToken{});
}

Variable select_token(const Variable& x, std::int64_t index) {
  require(x.shape().rank() == 3 && index >= 0 && index < x.shape()[1], "select_token: index {} of x {}",
          index, x.shape());
  Tensor y(x.value().backend(), {x.shape()[0], x.shape()[2]}, x.value().dtype());
  y.backend().select_token(x.value(), index, y);
  return record(y, {x}, SelectToken{index});
}

Variable interpolate_positions(const Variable& positions, std::int64_t height, std::int64_t width) {
  require(positions.shape().rank() == 3 && positions.shape()[0] == 1 && positions.shape()[1] >= 2,
          "interpolate_positions: positions are {}, expected [1, 1 + grid^2, D]", positions.shape());
  const std::int64_t count = positions.shape()[1] - 1, features = positions.shape()[2];
  if (count == height * width && height == width) return positions;
  const auto grid = static_cast<std::int64_t>(std::sqrt(static_cast<double>(count)) + 0.5);
  require(grid * grid == count, "interpolate_positions: {} positions are not a square grid", count);
  const Variable rows = reshape(positions, {1 + count, features});
  const Variable resized =
      resize_bicubic(reshape(slice(rows, 1, 1 + count), {grid, grid, features}), height, width);
  const Variable patches = reshape(resized, {height * width, features});
  return reshape(concat({slice(rows, 0, 1), patches}), {1, 1 + height * width, features});
}

}  // namespace sagitta::autograd
