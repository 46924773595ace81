// Our models against PyTorch's and transformers' on the golden files: logits, every gradient, ten steps of
// training.
#include <doctest/doctest.h>

#include <map>

#include "models/checkpoint_names.h"
#include "models/explain.h"
#include "nn/checkpoint.h"
#include "nn/optimizer.h"
#include "tests/golden_backend.h"
#include "tests/golden_case.h"

using namespace sagitta;
using testing::golden_backend;
using testing::GoldenCase;
using testing::kGoldenNames;
using testing::relative_error;

namespace {

// A view or copy of `tensor` (memory layout) as it would stand in a file.
std::vector<float> file_values(const nn::FileTensor& tensor, const Tensor& memory) {
  const std::vector<float> values = to_host<float>(memory);
  if (tensor.layout == nn::FileLayout::same) return values;
  const Shape& shape = tensor.memory.shape();  // [O,KH,KW,I]
  std::vector<float> result;
  for (std::int64_t o = 0; o < shape[0]; ++o)
    for (std::int64_t i = 0; i < shape[3]; ++i)
      for (std::int64_t k = 0; k < shape[1] * shape[2]; ++k)
        result.push_back(values[static_cast<std::size_t>((o * shape[1] * shape[2] + k) * shape[3] + i)]);
  return result;
}

// The gradient of every parameter under its file name.
std::map<std::string, std::vector<float>> gradients_of(models::ImageClassifier& model) {
  std::map<std::string, std::vector<float>> gradients;
  for (const auto& [name, parameter] : model.named_parameters()) {
    const Tensor gradient = parameter->leaf().gradient();
    const nn::FileTensor whole{name, parameter->value(), parameter->layout()};
    if (parameter->slices().empty()) gradients[name] = file_values(whole, gradient);
    const std::string module = name.substr(0, name.size() - parameter->name().size());
    for (const nn::FileSlice& slice : parameter->slices())
      gradients[module + slice.name] = file_values(whole, gradient.slice(slice.begin, slice.end));
  }
  return gradients;
}

void check_gradients(GoldenCase& golden, const std::string& prefix) {
  const auto gradients = gradients_of(*golden.model);
  double largest = 0;
  for (const auto& [name, values] : gradients)
    for (float value : values) largest = std::max(largest, std::fabs(double{value}));
  std::size_t compared = 0;
  for (const safetensors::Entry& entry : golden.file.entries()) {
    if (!entry.name.starts_with(prefix)) continue;
    const std::string name = models::module_name_of(golden.model->config(), entry.name.substr(prefix.size()));
    CAPTURE(name);
    REQUIRE(gradients.contains(name));
    const std::vector<float> expected = safetensors::values_of<float>(entry);
    double scale = 0;
    for (float value : expected) scale = std::max(scale, std::fabs(double{value}));
    // The bias of a key shifts all scores of a query alike: its gradient is zero but for rounding.
    const double floor = 1e-6 * largest;
    CHECK(relative_error(gradients.at(name), expected) * scale < 1e-3 * scale + floor);
    ++compared;
  }
  CHECK(compared == gradients.size());
}

// Losses of ten steps, each on the same batch.
std::vector<float> train(GoldenCase& golden, nn::Optimizer& optimizer, double learning_rate) {
  golden.model->train();
  Tensor state = golden.context.step_state();
  std::vector<float> losses;
  for (std::uint32_t step = 1; step <= 10; ++step) {
    nn::write_step_state(state, {.micro_step = step, .optimizer_step = step, .learning_rate = learning_rate});
    const autograd::Variable loss = golden.loss(golden.logits());
    autograd::backward(loss);
    optimizer.step(state);
    losses.push_back(static_cast<float>(scalar_of(loss.value())));
  }
  return losses;
}

}  // namespace

TEST_CASE("golden: logits, loss and every gradient in evaluation mode") {
  for (const std::string& name : kGoldenNames) {
    CAPTURE(name);
    GoldenCase golden(name, golden_backend());
    golden.model->eval();
    const autograd::Variable logits = golden.logits();
    CHECK(relative_error(to_host<float>(logits.value()),
                         safetensors::values_of<float>(golden.file.at("logits"))) < 1e-4);
    const autograd::Variable loss = golden.loss(logits);
    CHECK(scalar_of(loss.value()) ==
          doctest::Approx(safetensors::values_of<double>(golden.file.at("loss"))[0]).epsilon(1e-5));
    autograd::backward(loss);
    check_gradients(golden, "grad.");
  }
}

TEST_CASE("golden: ResNets in training mode, with batch statistics") {
  for (const std::string& name : kGoldenNames) {
    if (name.starts_with("vit")) continue;
    CAPTURE(name);
    GoldenCase golden(name, golden_backend());
    golden.model->train();
    const autograd::Variable logits = golden.logits();
    CHECK(relative_error(to_host<float>(logits.value()),
                         safetensors::values_of<float>(golden.file.at("train_logits"))) < 1e-4);
    autograd::backward(golden.loss(logits));
    check_gradients(golden, "train_grad.");
    for (const nn::NamedBuffer& named : golden.model->named_buffers()) {
      CAPTURE(named.name);
      if (named.name.ends_with("num_batches_tracked")) {
        CHECK(to_host<std::int64_t>(named.buffer->value())[0] == 18);
        continue;
      }
      const auto expected = safetensors::values_of<float>(golden.file.at("train_stat." + named.name));
      CHECK(relative_error(to_host<float>(named.buffer->value()), expected) < 1e-5);
    }
  }
}

TEST_CASE("golden: ten steps of SGD, Adam and AdamW") {
  for (const std::string& name : kGoldenNames) {
    for (const std::string kind : {"sgd", "adam", "adamw"}) {
      CAPTURE(name);
      CAPTURE(kind);
      GoldenCase golden(name, golden_backend());
      nn::ParameterArena arena(*golden.model, kind == "adamw" ? 0.05 : 1e-3, nn::DecayPolicy::all);
      std::unique_ptr<nn::Optimizer> optimizer;
      if (kind == "sgd")
        optimizer = std::make_unique<nn::Sgd>(arena, SgdParams{.momentum = 0.9});
      else
        optimizer = std::make_unique<nn::Adam>(arena, AdamParams{.decoupled = kind == "adamw"});
      const std::vector<float> losses = train(golden, *optimizer, kind == "sgd" ? 0.02 : 1e-3);
      const auto expected = safetensors::values_of<float>(golden.file.at(kind + "_losses"));
      REQUIRE(losses.size() == expected.size());
      for (std::size_t i = 0; i < losses.size(); ++i)
        CHECK(losses[i] == doctest::Approx(expected[i]).epsilon(1e-3));
    }
  }
}

TEST_CASE("golden: where the models looked") {
  int compared = 0;
  for (const std::string& name : kGoldenNames) {
    if (!std::filesystem::exists(testing::golden_folder(name) / "explanations.safetensors")) continue;
    CAPTURE(name);
    GoldenCase golden(name, golden_backend());
    const auto file = safetensors::File::open(testing::golden_folder(name) / "explanations.safetensors");
    const auto labels = safetensors::values_of<std::int64_t>(file.at("labels"));
    for (const models::ExplainMethod method : models::explain_methods(golden.model->config())) {
      CAPTURE(models::name_of(method));
      const Tensor heat = models::explain(*golden.model, golden.pixels, labels, method);
      const safetensors::Entry& expected = file.at(models::name_of(method));
      CHECK(heat.shape() == Shape(expected.shape));
      // Elements are at most 1, so this is the error of each, not of the largest.
      CHECK(relative_error(to_host<float>(heat), safetensors::values_of<float>(expected)) < 1e-4);
      ++compared;
    }
    if (!golden.model->config().resnet()) continue;
    const Tensor last = models::explain(*golden.model, golden.pixels, labels, models::ExplainMethod::grad_cam,
                                        {.least_cells = 1});
    CHECK(relative_error(to_host<float>(last), safetensors::values_of<float>(file.at("grad-cam-last"))) <
          1e-4);
    ++compared;
  }
  CHECK(compared == 14);
}

TEST_CASE("golden: recompute gives a ViT the same gradients") {
  GoldenCase plain("vit", golden_backend());
  nn::Context context(golden_backend());
  const auto recomputed = models::make_classifier(plain.model->config(), context, {.recompute = true});
  models::load_weights(*recomputed, testing::golden_folder("vit"));
  plain.model->train();
  autograd::backward(plain.loss(plain.logits()));
  autograd::backward(plain.loss(recomputed->logits(autograd::Variable(plain.pixels))));
  const auto expected = gradients_of(*plain.model), actual = gradients_of(*recomputed);
  for (const auto& [name, values] : expected) {
    if (name.ends_with("key.bias")) continue;  // rounding only
    CAPTURE(name);
    CHECK(relative_error(actual.at(name), values) < 1e-4);
  }
}
