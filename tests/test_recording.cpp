// The recorder behind bench_device: whether it sees every call of a model, counts its work rightly, and can
// make the calls again.
#include <doctest/doctest.h>

#include "autograd/ops.h"
#include "bench/recording_backend.h"
#include "models/classifier.h"
#include "models/summary.h"

using namespace sagitta;
using bench::RecordedCall;

namespace {

constexpr std::int64_t kBatch = 2;

// Forward and backward of a model on `side` x `side` pixels.
std::vector<RecordedCall> calls_of(const std::string& arch, std::int64_t side, DType dtype) {
  models::ModelConfig config = models::config_for(arch);
  config.image_size = side;
  bench::RecordingBackend recorder;
  nn::Context context(recorder, dtype);
  const auto model = models::make_classifier(config, context);
  const autograd::Variable pixels(Tensor(recorder, {kBatch, side, side, 3}, dtype));
  recorder.start();
  autograd::backward(model->logits(pixels));
  return recorder.calls();
}

int times(const std::vector<RecordedCall>& calls, const std::string& op) {
  int sum = 0;
  for (const RecordedCall& call : calls) sum += call.op == op ? call.times : 0;
  return sum;
}

double flop(const std::vector<RecordedCall>& calls, const std::vector<std::string>& ops) {
  double sum = 0;
  for (const RecordedCall& call : calls)
    for (const std::string& op : ops) sum += call.op == op ? call.flop * call.times : 0;
  return sum;
}

}  // namespace

TEST_CASE("a recorded ResNet-50 has all its convolutions, and the multiply-adds of the summary") {
  const auto calls = calls_of("resnet-50", 64, DType::f16);
  CHECK(times(calls, "conv2d") == 53);
  CHECK(times(calls, "conv2d_backward_weight") == 53);
  CHECK(times(calls, "conv2d_backward_input") == 52);  // the image wants no gradient
  const double expected =
      2.0 * static_cast<double>(models::summarize(models::config_for("resnet-50"), kBatch, 64).multiply_adds);
  CHECK(flop(calls, {"conv2d", "linear", "matmul"}) == doctest::Approx(expected).epsilon(1e-12));
}

TEST_CASE(
    "a recorded ViT has the multiply-adds of the summary, and its backward pass 2.5 times the attention's") {
  const auto calls = calls_of("vit-tiny-patch16-64", 64, DType::bf16);
  const double expected =
      2.0 *
      static_cast<double>(models::summarize(models::config_for("vit-tiny-patch16-64"), kBatch).multiply_adds);
  CHECK(flop(calls, {"conv2d", "linear", "matmul", "attention"}) == doctest::Approx(expected).epsilon(1e-12));
  CHECK(times(calls, "attention_backward") == 12);
  CHECK(flop(calls, {"attention_backward"}) == doctest::Approx(2.5 * flop(calls, {"attention"})));
}

TEST_CASE("equal calls are counted, different ones kept apart; bytes are what must move") {
  bench::RecordingBackend recorder;
  const Tensor x(recorder, {1, 8, 8, 4}, DType::bf16), weight(recorder, {6, 1, 1, 4}, DType::bf16);
  Tensor y(recorder, {1, 8, 8, 6}, DType::bf16), smaller(recorder, {1, 4, 4, 6}, DType::bf16), z = x.like();
  recorder.start();
  for (int i = 0; i < 3; ++i) recorder.conv2d({}, x, weight, y);
  recorder.conv2d({.stride = 2}, x, weight, smaller);
  recorder.scale(x, 0.5, {z});
  recorder.scale(x, 0.5, {z, true});
  const auto& calls = recorder.calls();
  REQUIRE(calls.size() == 4);
  CHECK(calls[0].times == 3);
  CHECK(calls[0].bytes == 2 * (256 + 24 + 384));
  CHECK(calls[1].times == 1);
  CHECK(calls[1].bytes == 2 * (256 / 4 + 24 + 96));  // a quarter of x lies under the kernel
  CHECK(calls[1].detail == "1x8x8x4, 6x1x1x4, 1x4x4x6, stride 2");
  CHECK(calls[2].bytes == 2 * (256 + 256));
  CHECK(calls[3].bytes == 2 * (256 + 2 * 256));
}

TEST_CASE("a recorded call does the same on another backend") {
  bench::RecordingBackend recorder;
  const Tensor logits(recorder, {3, 5}, DType::f32);
  const Tensor labels = from_host<std::int64_t>(recorder, {3}, {4, 0, 2});
  Tensor loss(recorder, {1}, DType::f32), dlogits = logits.like();
  recorder.start();
  recorder.softmax_cross_entropy({}, logits, labels, loss, dlogits);
  const bench::TensorMaker maker(cpu_backend());
  const std::vector<std::int64_t> values = to_host<std::int64_t>(maker.make(bench::note_of(labels)));
  CHECK(values == std::vector<std::int64_t>{4, 0, 2});  // integers decide what is computed
  CHECK(to_host<float>(maker.make(bench::note_of(logits))) != std::vector<float>(15, 0.0F));
  for (const auto& calls : {recorder.calls(), calls_of("resnet-18", 32, DType::f32),
                            calls_of("vit-tiny-patch16-64", 64, DType::f32)})
    for (const RecordedCall& call : calls) {
      CAPTURE(call.op);
      CHECK_NOTHROW(call.prepare(maker)());
    }
}
