#include "bench/operations.h"

#include <algorithm>
#include <cmath>

#include "bench/recording_backend.h"
#include "tensor/error.h"

namespace sagitta::bench {
namespace {

using Index = std::int64_t;
using Json = nlohmann::ordered_json;

std::vector<Index> extents(const Shape& shape) { return {shape.extents().begin(), shape.extents().end()}; }

// Collects operations; one that is there already happens once more per step.
class List {
 public:
  // `record` makes one call on the recorder.
  template <class Record>
  void add(const std::string& name, const std::string& group, Json request, const Record& record) {
    const auto same = [&](const Operation& each) { return each.name == name; };
    const auto found = std::find_if(operations_.begin(), operations_.end(), same);
    if (found != operations_.end()) {
      ++found->call.times;
      return;
    }
    recorder_.start();
    record(recorder_);
    operations_.push_back({name, group, recorder_.calls().at(0), std::move(request)});
  }

  Tensor tensor(const Shape& shape) { return Tensor(recorder_, shape, DType::f32); }
  Tensor step_state() {
    const StepState values{.learning_rate = 1e-3};
    Tensor state(recorder_, {sizeof(StepState)}, DType::u8);
    recorder_.write(&values, state);
    return state;
  }
  RecordingBackend& recorder() { return recorder_; }
  std::vector<Operation> take() { return std::move(operations_); }

 private:
  RecordingBackend recorder_;
  std::vector<Operation> operations_;
};

struct Conv {
  Index side;  // height and width of the input
  Index inputs, outputs;
  int kernel, stride;
};

Index side_after(const Conv& conv) { return (conv.side + conv.stride - 1) / conv.stride; }

void add_conv(List& list, Index batch, const Conv& conv, const Conv2dParams& params) {
  const Index side = params.out(conv.side, conv.kernel);
  const Tensor x = list.tensor({batch, conv.side, conv.side, conv.inputs});
  const Tensor weight = list.tensor({conv.outputs, conv.kernel, conv.kernel, conv.inputs});
  const Tensor dy = list.tensor({batch, side, side, conv.outputs});
  Tensor y = dy.like(), dx = x.like(), dweight = weight.like();
  const std::string name = fmt::format("conv {0}x{0}/{1} {2}->{3} @{4}", conv.kernel, conv.stride,
                                       conv.inputs, conv.outputs, conv.side);
  const auto request = [&](const char* direction) -> Json {
    return {{"op", "conv2d"},          {"direction", direction},
            {"x", extents(x.shape())}, {"weight", extents(weight.shape())},
            {"stride", params.stride}, {"padding", params.padding}};
  };
  list.add(name + " forward", "conv forward", request("forward"),
           [&](Backend& backend) { backend.conv2d(params, x, weight, y); });
  if (conv.inputs > 3)  // the image needs no gradient
    list.add(name + " dx", "conv dx", request("dx"),
             [&](Backend& backend) { backend.conv2d_backward_input(params, weight, dy, {dx}); });
  list.add(name + " dweight", "conv dweight", request("dweight"),
           [&](Backend& backend) { backend.conv2d_backward_weight(params, x, dy, {dweight}); });
}

enum class After { nothing, relu, add_relu };

void add_batch_norm(List& list, const Shape& shape, After after) {
  const bool relu = after != After::nothing, adds = after == After::add_relu;
  const BatchNormParams params{.relu = relu};
  const Tensor x = list.tensor(shape), dy = x.like(), residual = adds ? x.like() : Tensor();
  const Tensor gamma = list.tensor({shape.back()}), beta = gamma.like();
  Tensor running_mean = gamma.like(), running_var = gamma.like(), mean = gamma.like(), rstd = gamma.like();
  Tensor y = x.like(), dx = x.like(), dgamma = gamma.like(), dbeta = gamma.like();
  const Target dresidual{adds ? x.like() : Tensor()};
  const std::string name = fmt::format("batch norm{}{} {}x{}x{}", adds ? "+add" : "", relu ? "+relu" : "",
                                       shape[1], shape[2], shape[3]);
  const auto request = [&](const char* direction) -> Json {
    return {
        {"op", "batch_norm"}, {"direction", direction}, {"x", extents(shape)}, {"add", adds}, {"relu", relu}};
  };
  list.add(name + " forward", "batch norm forward", request("forward"), [&](Backend& backend) {
    backend.batch_norm_add_relu(params, x, gamma, beta, residual, running_mean, running_var, y, mean, rstd);
  });
  list.add(name + " backward", "batch norm backward", request("backward"), [&](Backend& backend) {
    backend.batch_norm_add_relu_backward(params, x, y, gamma, mean, rstd, dy, {dx}, {dgamma}, {dbeta},
                                         dresidual);
  });
}

void add_max_pool(List& list, const Shape& shape) {
  const PoolParams params;
  const Index side = params.out(shape[1]);
  const Tensor x = list.tensor(shape), dy = list.tensor({shape[0], side, side, shape[3]});
  Tensor y = dy.like(), dx = x.like(), indices(list.recorder(), dy.shape(), DType::i32);
  const auto request = [&](const char* direction) -> Json {
    return {{"op", "max_pool"},        {"direction", direction},  {"x", extents(shape)},
            {"kernel", params.kernel}, {"stride", params.stride}, {"padding", params.padding}};
  };
  const std::string name = fmt::format("max pool 3x3/2 {}x{}x{}", shape[1], shape[2], shape[3]);
  list.add(name + " forward", "max pool", request("forward"),
           [&](Backend& backend) { backend.max_pool(params, x, y, indices); });
  list.add(name + " backward", "max pool", request("backward"),
           [&](Backend& backend) { backend.max_pool_backward(params, indices, dy, {dx}); });
}

void add_linear(List& list, Index rows, Index inputs, Index outputs, UnaryOp activation = UnaryOp::identity) {
  const bool gelu = activation == UnaryOp::gelu;
  const Tensor x = list.tensor({rows, inputs}), weight = list.tensor({outputs, inputs});
  const Tensor bias = list.tensor({outputs}), dy = list.tensor({rows, outputs});
  Tensor y = dy.like(), pre = gelu ? dy.like() : Tensor(), dx = x.like(), dweight = weight.like();
  const std::string name =
      fmt::format("linear{} {}->{}, {} tokens", gelu ? "+gelu" : "", inputs, outputs, rows);
  const auto request = [&](const char* direction) -> Json {
    return {{"op", "linear"},   {"direction", direction}, {"rows", rows},
            {"inputs", inputs}, {"outputs", outputs},     {"gelu", gelu}};
  };
  list.add(name + " forward", "linear forward", request("forward"),
           [&](Backend& backend) { backend.linear({activation}, x, weight, bias, pre, y); });
  // The products alone: `dy` is the gradient before the activation.
  list.add(name + " dx", "linear dx", request("dx"),
           [&](Backend& backend) { backend.linear_backward({}, x, weight, {}, dy, {dx}, {}, {}); });
  list.add(name + " dweight", "linear dweight", request("dweight"),
           [&](Backend& backend) { backend.linear_backward({}, x, weight, {}, dy, {}, {dweight}, {}); });
}

void add_attention(List& list, Index batch, Index tokens, int heads, Index head_dim) {
  const AttentionParams params{.heads = heads, .scale = 1 / std::sqrt(static_cast<double>(head_dim))};
  const Tensor qkv = list.tensor({batch, tokens, 3 * heads * head_dim});
  const Tensor dy = list.tensor({batch, tokens, heads * head_dim});
  const Tensor state = list.step_state();
  Tensor y = dy.like(), lse = list.tensor({batch, heads, tokens}), dqkv = qkv.like();
  const auto request = [&](const char* direction) -> Json {
    return {{"op", "attention"}, {"direction", direction}, {"batch", batch},
            {"tokens", tokens},  {"heads", heads},         {"head_dim", head_dim}};
  };
  const std::string name =
      fmt::format("attention {} x {} tokens, {} heads of {}", batch, tokens, heads, head_dim);
  list.add(name + " forward", "attention", request("forward"),
           [&](Backend& backend) { backend.attention(params, state, qkv, y, lse); });
  list.add(name + " backward", "attention", request("backward"),
           [&](Backend& backend) { backend.attention_backward(params, state, qkv, y, lse, dy, {dqkv}); });
}

void add_layer_norm(List& list, const Shape& shape, bool adds) {
  constexpr double kEps = 1e-12;
  const Tensor x = list.tensor(shape), residual = x.like(), dy = x.like();
  const Tensor gamma = list.tensor({shape.back()}), beta = gamma.like();
  Tensor sum = x.like(), y = x.like(), mean = list.tensor({shape.numel() / shape.back()}), rstd = mean.like();
  Tensor dx = x.like(), dgamma = gamma.like(), dbeta = gamma.like();
  const auto request = [&](const char* direction, bool adding) -> Json {
    return {{"op", "layer_norm"}, {"direction", direction}, {"x", extents(shape)}, {"add", adding}};
  };
  const std::string size = fmt::format("{}x{}", shape.numel() / shape.back(), shape.back());
  if (adds)
    list.add("layer norm+add " + size + " forward", "layer norm forward", request("forward", true),
             [&](Backend& backend) {
               backend.add_layer_norm(kEps, x, residual, gamma, beta, sum, y, mean, rstd);
             });
  else
    list.add("layer norm " + size + " forward", "layer norm forward", request("forward", false),
             [&](Backend& backend) { backend.layer_norm(kEps, x, gamma, beta, y, mean, rstd); });
  // That of the sum: the residual's gradient is the same tensor.
  list.add("layer norm " + size + " backward", "layer norm backward", request("backward", false),
           [&](Backend& backend) {
             backend.layer_norm_backward(x, gamma, mean, rstd, dy, {dx}, {dgamma}, {dbeta});
           });
}

// One update of all parameters, with weight decay, as the arena makes it.
void add_optimizer(List& list, const std::string& op, Index parameters) {
  const Tensor end = from_host<Index>(list.recorder(), {1}, {parameters});
  const ParameterUpdate update{.segments = {end, list.tensor({1}), list.tensor({1})},
                               .state = list.step_state(),
                               .norm2 = list.tensor({1}),
                               .loss_scale = {},
                               .gradient = list.tensor({parameters}),
                               .values = list.tensor({parameters}),
                               .copy = {}};
  Tensor first = update.values.like(), second = update.values.like();
  list.add(fmt::format("{}, {:.1f} M parameters", op, static_cast<double>(parameters) * 1e-6), "optimizer",
           {{"op", op}, {"parameters", parameters}}, [&](Backend& backend) {
             if (op == "sgd")
               backend.sgd({.momentum = 0.9}, update, first);
             else
               backend.adam({.decoupled = true}, update, first, second);
           });
}

}  // namespace

std::vector<Operation> resnet50_operations(Index batch) {
  List list;
  // Convolution and batch norm together, as they follow each other in the model.
  const auto layer = [&](const Conv& conv, After after) {
    add_conv(list, batch, conv, {conv.stride, conv.kernel / 2});
    add_batch_norm(list, {batch, side_after(conv), side_after(conv), conv.outputs}, after);
  };
  layer({224, 3, 64, 7, 2}, After::relu);
  add_max_pool(list, {batch, 112, 112, 64});
  Index side = 56, channels = 64;
  constexpr std::pair<Index, int> kStages[]{{64, 3}, {128, 4}, {256, 6}, {512, 3}};  // width, blocks
  for (const auto& [width, blocks] : kStages)
    for (int block = 0; block < blocks; ++block) {
      const int stride = block == 0 && width > 64 ? 2 : 1;
      if (block == 0) layer({side, channels, 4 * width, 1, stride}, After::nothing);  // the shortcut
      layer({side, channels, width, 1, 1}, After::relu);
      layer({side, width, width, 3, stride}, After::relu);
      side /= stride;
      layer({side, width, 4 * width, 1, 1}, After::add_relu);
      channels = 4 * width;
    }
  add_optimizer(list, "sgd", 23'522'375);  // the parameters with 7 labels
  return list.take();
}

std::vector<Operation> vit_operations(Index batch) {
  constexpr Index kTokens = 577, kWidth = 768;  // (384 / 16)^2 patches and the class token
  constexpr int kHeads = 12, kBlocks = 12;
  const Index rows = batch * kTokens;
  const Shape tokens{batch, kTokens, kWidth};
  List list;
  add_conv(list, batch, {384, 3, kWidth, 16, 16}, {.stride = 16});
  for (int block = 0; block < kBlocks; ++block) {
    add_layer_norm(list, tokens, block > 0);
    add_linear(list, rows, kWidth, 3 * kWidth);
    add_attention(list, batch, kTokens, kHeads, kWidth / kHeads);
    add_linear(list, rows, kWidth, kWidth);
    add_layer_norm(list, tokens, true);
    add_linear(list, rows, kWidth, 4 * kWidth, UnaryOp::gelu);
    add_linear(list, rows, 4 * kWidth, kWidth);
  }
  add_layer_norm(list, tokens, true);
  add_optimizer(list, "adam", 86'096'647);  // the parameters with 7 labels
  return list.take();
}

}  // namespace sagitta::bench
