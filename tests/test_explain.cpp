// Where a model looked: maps of models whose answer is known, and that asking leaves no trace. Against
// PyTorch: test_golden.cpp.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "models/explain.h"
#include "models/heat_map.h"
#include "models/resnet.h"
#include "models/vit.h"
#include "nn/arena.h"
#include "nn/evaluation_mode.h"
#include "nn/frozen_parameters.h"
#include "tensor/error.h"
#include "tests/brightness_model.h"
#include "tests/golden_case.h"

using namespace sagitta;
using models::ExplainMethod;
using testing::assign_all;
using testing::BrightnessModel;
using testing::GoldenCase;

namespace {

// Black pictures of 64 x 64 with one bright square of 8 x 8 each, whose upper left corners are given.
Tensor spots(const std::vector<std::pair<int, int>>& corners) {
  std::vector<float> pixels(corners.size() * 64 * 64 * 3);
  for (std::size_t i = 0; i < corners.size(); ++i)
    for (int y = 0; y < 8; ++y)
      for (int x = 0; x < 8; ++x)
        for (int c = 0; c < 3; ++c)
          pixels[((i * 64 + static_cast<std::size_t>(corners[i].first + y)) * 64 +
                  static_cast<std::size_t>(corners[i].second + x)) *
                     3 +
                 static_cast<std::size_t>(c)] = 1;
  return from_host(cpu_backend(), {static_cast<std::int64_t>(corners.size()), 64, 64, 3}, pixels);
}

std::pair<int, int> hottest(const Tensor& heat, std::int64_t picture) {
  const std::vector<float> values = to_host<float>(heat.slice(picture, picture + 1));
  const auto at = std::max_element(values.begin(), values.end()) - values.begin();
  return {static_cast<int>(at / heat.shape()[2]), static_cast<int>(at % heat.shape()[2])};
}

ExplainMethod default_method(const GoldenCase& golden) {
  return models::explain_methods(golden.model->config()).front();
}

}  // namespace

TEST_CASE("grad-cam is hottest where the one thing is that the model looks for") {
  BrightnessModel bright;
  const std::vector<std::pair<int, int>> corners{{8, 40}, {48, 16}, {24, 24}};
  const std::vector<std::int64_t> labels{0, 0, 0};
  const Tensor heat = models::explain(bright.model, spots(corners), labels, ExplainMethod::grad_cam);
  CHECK(heat.shape() == Shape{3, 64, 64});
  for (std::size_t i = 0; i < corners.size(); ++i) {
    const auto [row, column] = hottest(heat, static_cast<std::int64_t>(i));
    CAPTURE(row);
    CAPTURE(column);
    CHECK(row >= corners[i].first);
    CHECK(row < corners[i].first + 8);
    CHECK(column >= corners[i].second);
    CHECK(column < corners[i].second + 8);
  }
  const std::vector<float> values = to_host<float>(heat);
  CHECK(*std::max_element(values.begin(), values.end()) == 1);
  CHECK(*std::min_element(values.begin(), values.end()) == 0);
}

TEST_CASE("grad-cam finds nothing for the label that brightness speaks against") {
  BrightnessModel bright;
  const std::vector<std::int64_t> labels{1, 0};
  const Tensor heat = models::explain(bright.model, spots({{8, 8}, {8, 8}}), labels, ExplainMethod::grad_cam);
  const std::vector<float> values = to_host<float>(heat.slice(0, 1));
  CHECK(std::all_of(values.begin(), values.end(), [](float value) { return value == 0; }));
  CHECK(hottest(heat, 1).first >= 8);
}

TEST_CASE("attention by gradient follows the label, rollout does not") {
  GoldenCase golden("vit");
  const Tensor one = golden.pixels.slice(0, 1);
  const auto map = [&](std::int64_t label, ExplainMethod method) {
    return to_host<float>(models::explain(*golden.model, one, std::vector{label}, method));
  };
  CHECK(testing::relative_error(map(0, ExplainMethod::gradient_attention),
                                map(1, ExplainMethod::gradient_attention)) > 0.01);
  CHECK(map(0, ExplainMethod::attention_rollout) == map(1, ExplainMethod::attention_rollout));
}

TEST_CASE("explain: each picture of a batch as if it were alone, in f64 as in f32") {
  for (const std::string name : {"resnet_bottleneck", "vit_interpolated"}) {
    CAPTURE(name);
    GoldenCase golden(name);
    const std::vector<std::int64_t> labels{2, 0, 3};
    const Tensor together = models::explain(*golden.model, golden.pixels, labels, default_method(golden));
    for (std::int64_t i = 0; i < 3; ++i) {
      const Tensor alone =
          models::explain(*golden.model, golden.pixels.slice(i, i + 1),
                          std::vector{labels[static_cast<std::size_t>(i)]}, default_method(golden));
      CHECK(testing::relative_error(to_host<float>(alone), to_host<float>(together.slice(i, i + 1))) < 1e-5);
    }
    nn::Context wide(cpu_backend(), DType::f64);
    const auto model = models::import_model(testing::golden_folder(name), wide);
    Tensor pixels(cpu_backend(), golden.pixels.shape(), DType::f64);
    cpu_backend().convert(golden.pixels, pixels);
    const Tensor in_f64 = models::explain(*model, pixels, labels, default_method(golden));
    CHECK(in_f64.dtype() == DType::f32);
    CHECK(testing::relative_error(to_host<float>(together), to_host<float>(in_f64)) < 1e-4);
  }
}

TEST_CASE("explain leaves mode, gradients, arena and statistics as they were") {
  for (const std::string name : {"resnet_basic", "vit"}) {
    CAPTURE(name);
    GoldenCase golden(name);
    nn::Module& model = *golden.model;
    model.train();
    nn::Module& frozen_part = *model.named_modules()[3].module;
    frozen_part.eval();  // as in fine-tuning
    std::vector<bool> modes;
    for (const nn::NamedModule& named : model.named_modules()) modes.push_back(named.module->training());
    nn::ParameterArena arena(model, 0, nn::DecayPolicy::all);
    autograd::backward(golden.loss(golden.logits()));
    arena.complete_gradients();
    const auto gradients = to_host<float>(arena.gradients()), values = to_host<float>(arena.values());
    std::vector<std::vector<double>> statistics;
    for (const nn::NamedBuffer& named : model.named_buffers())
      if (named.buffer->value().dtype() == DType::f32)
        statistics.push_back({scalar_of(named.buffer->value().slice(0, 1))});

    models::explain(*golden.model, golden.pixels, std::vector<std::int64_t>{0, 1, 2}, default_method(golden));

    std::size_t i = 0;
    for (const nn::NamedModule& named : model.named_modules()) CHECK(named.module->training() == modes[i++]);
    i = 0;
    for (const nn::NamedBuffer& named : model.named_buffers())
      if (named.buffer->value().dtype() == DType::f32)
        CHECK(scalar_of(named.buffer->value().slice(0, 1)) == statistics[i++][0]);
    CHECK(to_host<float>(arena.gradients()) == gradients);
    CHECK(to_host<float>(arena.values()) == values);
    // The next step starts as if nothing had been asked.
    arena.clear_gradients();
    frozen_part.train();
    const autograd::Variable loss = golden.loss(golden.logits());
    CHECK(loss.requires_gradient());
    autograd::backward(loss);
    for (const nn::NamedParameter& named : model.named_parameters()) CHECK(named.parameter->leaf().filled());
  }
}

TEST_CASE("explain refuses what it cannot do") {
  GoldenCase resnet("resnet_basic"), vit("vit");
  const std::vector<std::int64_t> labels{0, 0, 0};
  const auto message = [](const auto& call) -> std::string {
    try {
      (void)call();
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const auto explain = [&](GoldenCase& golden, const std::vector<std::int64_t>& asked, ExplainMethod method) {
    return message([&] { return models::explain(*golden.model, golden.pixels, asked, method); });
  };
  CHECK(explain(resnet, labels, ExplainMethod::attention_rollout) ==
        "explain: method is attention-rollout, expected grad-cam for this model");
  CHECK(explain(vit, labels, ExplainMethod::grad_cam).find("expected gradient-attention") !=
        std::string::npos);
  CHECK(explain(vit, {0, 0, 5}, ExplainMethod::gradient_attention) == "explain: label is 5, expected 0 to 4");
  CHECK(explain(resnet, {0, -1, 0}, ExplainMethod::grad_cam) == "explain: label is -1, expected 0 to 4");
  CHECK(explain(resnet, {0, 0}, ExplainMethod::grad_cam).find("for 2 labels") != std::string::npos);
  {
    const autograd::NoGradient off;
    CHECK(explain(vit, labels, ExplainMethod::gradient_attention).find("gradients are off") !=
          std::string::npos);
  }
  CHECK(message([&] { return models::parse_explain_method("saliency", vit.model->config()); }) ==
        "explain: method is 'saliency', expected gradient-attention or attention-rollout for this model");
  CHECK(models::parse_explain_method("auto", vit.model->config()) == ExplainMethod::gradient_attention);
  assign_all(*vit.model->named_parameters().front().parameter, NAN);
  CHECK(explain(vit, labels, ExplainMethod::gradient_attention).find("not finite") != std::string::npos);
  // A refusal on the way leaves no frozen parameter and no mode behind.
  vit.model->train();
  CHECK_FALSE(explain(vit, {0, 0, 5}, ExplainMethod::gradient_attention).empty());
  CHECK(vit.model->training());
  for (const nn::NamedParameter& named : vit.model->named_parameters())
    CHECK_FALSE(named.parameter->frozen());
}

TEST_CASE("heat maps: enlarged between the centers of cells, largest value one") {
  // Two cells of 2 x 2 pixels side by side: flat to the centers' outside, linear between them.
  const models::CellMaps maps{
      .rows = 1, .columns = 2, .pixels_per_row = 2, .pixels_per_column = 2, .values = {0, 4, 0, 0}};
  const Tensor heat = models::heat_of(maps, 2, 4);
  CHECK(to_host<float>(heat) ==
        std::vector<float>{0, 0.25F, 0.75F, 1, 0, 0.25F, 0.75F, 1, 0, 0, 0, 0, 0, 0, 0, 0});
  // Pixels beyond the grid of patches take the value of the last one.
  const models::CellMaps grid{
      .rows = 1, .columns = 1, .pixels_per_row = 2, .pixels_per_column = 2, .values = {3}};
  CHECK(to_host<float>(models::heat_of(grid, 3, 3)) == std::vector<float>(9, 1));
}

TEST_CASE("a classifier's logits are its last layer on the embedding") {
  for (const std::string& name : testing::kGoldenNames) {
    CAPTURE(name);
    GoldenCase golden(name);
    golden.model->eval();
    const autograd::NoGradient no_gradient;
    const autograd::Variable embedding = golden.model->embedding(autograd::Variable(golden.pixels));
    CHECK(embedding.shape() == Shape{3, golden.model->config().feature_width()});
    CHECK(to_host<float>(golden.model->classify(embedding).value()) ==
          to_host<float>(golden.logits().value()));
  }
}

TEST_CASE("frozen parameters: gradients flow through a layer, not to it") {
  nn::Context context(cpu_backend(), DType::f64);
  nn::Module root;
  nn::Linear linear(&root, "linear", context, 3, 2);
  nn::initialize(root, 1);
  const autograd::Variable x = autograd::leaf(full(cpu_backend(), {1, 3}, DType::f64, 1));
  {
    const nn::FrozenParameters frozen(root);
    const nn::FrozenParameters again(root);
    autograd::backward(linear(x));
    CHECK_FALSE(linear.weight.leaf().filled());
    CHECK(x.gradient());
  }
  CHECK_FALSE(linear.weight.frozen());
  autograd::backward(linear(x));
  CHECK(linear.weight.leaf().filled());
}
