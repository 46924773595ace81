#include "bench/recorded_call.h"

#include <algorithm>
#include <array>

namespace sagitta::bench {
namespace {

constexpr std::size_t kLargestKept = 1 << 20;
constexpr std::int64_t kNoise = 1 << 20;

std::string text_of(const Shape& shape) {
  std::string text;
  for (const std::int64_t extent : shape.extents())
    text += fmt::format("{}{}", text.empty() ? "" : "x", extent);
  return text;
}

}  // namespace

double TensorNote::bytes() const {
  return present ? static_cast<double>(shape.numel()) * static_cast<double>(size_of(dtype)) : 0;
}

TensorNote note_of(const Tensor& tensor) {
  if (!tensor) return {};
  TensorNote note{true, tensor.shape(), tensor.dtype(), {}};
  if (!is_floating(tensor.dtype()) && tensor.bytes() <= kLargestKept)
    note.values.assign(tensor.raw(), tensor.raw() + tensor.bytes());
  return note;
}

TargetNote note_of(const Target& target) { return {note_of(target.dst), target.accumulate}; }

UpdateNote note_of(const ParameterUpdate& update) {
  return {note_of(update.segments.end), note_of(update.segments.decay), note_of(update.segments.rate),
          note_of(update.state),        note_of(update.norm2),          note_of(update.loss_scale),
          note_of(update.gradient),     note_of(update.values),         note_of(update.copy)};
}

TensorMaker::TensorMaker(Backend& backend) : backend_(backend) {
  std::vector<float> values(kNoise);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(random::normal({1, 0, 0}, i));
  noise_ = from_host(backend, {kNoise}, values);
}

Tensor TensorMaker::make(const TensorNote& note) const {
  if (!note.present) return {};
  Tensor tensor(backend_, note.shape, note.dtype);
  if (!note.values.empty()) {
    backend_.write(note.values.data(), tensor);
  } else if (!is_floating(note.dtype)) {
    backend_.fill(tensor, 0);
  } else {
    const Tensor flat = tensor.reshape({tensor.numel()});
    for (std::int64_t begin = 0; begin < flat.numel(); begin += kNoise) {
      const std::int64_t count = std::min(kNoise, flat.numel() - begin);
      Tensor part = flat.slice(begin, begin + count);
      backend_.convert(noise_.slice(0, count), part);
    }
  }
  return tensor;
}

Target TensorMaker::make(const TargetNote& note) const { return {make(note.dst), note.accumulate}; }

ParameterUpdate TensorMaker::make(const UpdateNote& note) const {
  return {.segments = {make(note.segment_end), make(note.segment_decay), make(note.segment_rate)},
          .state = make(note.state),
          .norm2 = make(note.norm2),
          .loss_scale = make(note.loss_scale),
          .gradient = make(note.gradient),
          .values = make(note.values),
          .copy = make(note.copy)};
}

double bytes_of(const TensorNote& note) { return note.bytes(); }
double bytes_of(const TargetNote& note) { return note.dst.bytes() * (note.accumulate ? 2 : 1); }
double bytes_of(const UpdateNote& note) {
  return note.gradient.bytes() + 2 * note.values.bytes() + note.copy.bytes();
}

std::string CallText::shown() const {
  std::string text;
  for (const auto& part : {shapes_, words_})
    for (const std::string& word : part) text += (text.empty() ? "" : ", ") + word;
  return text;
}

void CallText::add(const TensorNote& note) {
  key += note.present ? fmt::format(" {}{}", name_of(note.dtype), note.shape) : " -";
  if (!note.present) return shapes_.push_back("-");
  // Vectors follow from the rest, and of equal shapes one is enough.
  const std::string text = text_of(note.shape);
  const bool is_new = std::find(shapes_.begin(), shapes_.end(), text) == shapes_.end();
  if (is_new && (note.shape.rank() >= 2 || (shapes_.empty() && is_floating(note.dtype))))
    shapes_.push_back(text);
}

void CallText::add(const TargetNote& note) {
  add(note.dst);
  if (!note.accumulate || !note.dst.present) return;
  key += "+";
  words_.push_back("added");
}

void CallText::add(const UpdateNote& note) {
  add(note.values);
  add(note.copy);
  key += note.loss_scale.present ? " scaled" : "";
}

void CallText::add(const Conv2dParams& params) {
  key += fmt::format(" s{}p{}", params.stride, params.padding);
  if (params.stride > 1) words_.push_back(fmt::format("stride {}", params.stride));
}

void CallText::add(const MatmulParams& params) {
  const std::string text = {params.transpose_a ? 't' : 'n', params.transpose_b ? 't' : 'n'};
  key += text;
  words_.push_back(text);
}

void CallText::add(const LinearParams& params) {
  if (params.activation != UnaryOp::identity) add(params.activation);
}

void CallText::add(const BatchNormParams& params) {
  key += fmt::format(" training {} relu {}", params.training, params.relu);
  if (params.relu) words_.push_back("relu");
}

void CallText::add(const PoolParams& params) {
  key += fmt::format(" k{}s{}p{}", params.kernel, params.stride, params.padding);
}

void CallText::add(const AttentionParams& params) {
  key += fmt::format(" dropout {}", params.dropout > 0);
  words_.push_back(fmt::format("{} heads", params.heads));
}

void CallText::add(UnaryOp op) {
  constexpr std::array kNames{"identity", "relu",    "gelu", "gelu_tanh", "quick_gelu",
                              "silu",     "sigmoid", "tanh", "exp",       "square"};
  const std::string name = kNames.at(static_cast<std::size_t>(op));
  key += " " + name;
  words_.push_back(name);
}

void CallText::add(BinaryOp op) {
  constexpr std::array kNames{"add", "sub", "mul"};
  const std::string name = kNames.at(static_cast<std::size_t>(op));
  key += " " + name;
  words_.push_back(name);
}

}  // namespace sagitta::bench
