// While the parameters of a model are promised not to change, the backend keeps what it makes of them: it
// must show in nothing but the time, end with the promise, and refuse who breaks it.
#include <doctest/doctest.h>

#include <functional>
#include <optional>
#include <thread>

#include "nn/constant_parameters.h"
#include "nn/init.h"
#include "tensor/cpu_options.h"
#include "tensor/error.h"
#include "training_steps.h"

using namespace sagitta;
using namespace sagitta::test;

namespace {

// A model in evaluation, and the pictures it looks at.
struct Evaluation {
  explicit Evaluation(models::ModelConfig config) : model(models::make_classifier(config, context)) {
    nn::initialize(*model, 5);
    model->eval();
    const Shape shape{2, config.image_size, config.image_size, 3};
    std::vector<float> values(static_cast<std::size_t>(shape.numel()));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 17) / 8 - 1;
    pixels = autograd::Variable(from_host(cpu_backend(), shape, values));
  }
  std::vector<float> logits() {
    const autograd::NoGradient no_gradient;
    return to_host<float>(model->logits(pixels).value());
  }

  nn::Context context{cpu_backend()};
  std::unique_ptr<models::ImageClassifier> model;
  autograd::Variable pixels;
};

std::size_t in_use() { return cpu_backend().memory_use().in_use; }

}  // namespace

TEST_CASE("constant parameters: the same bits with every algorithm, from the first call to the last") {
  for (const TrainingCase& training_case : {resnet18(), vit_tiny()}) {
    Evaluation evaluation(training_case.config);
    for (const ConvAlgorithm algorithm : {ConvAlgorithm::automatic, ConvAlgorithm::direct,
                                          ConvAlgorithm::winograd2, ConvAlgorithm::winograd4}) {
      CAPTURE(static_cast<int>(algorithm));
      set_conv_algorithm(algorithm);
      const std::vector<float> expected = evaluation.logits();
      const nn::ConstantParameters constant(*evaluation.model);
      for (int call = 0; call < 3; ++call) CHECK(evaluation.logits() == expected);
    }
    // Under one promise the algorithms do not take each other's forms.
    const nn::ConstantParameters constant(*evaluation.model);
    set_conv_algorithm(ConvAlgorithm::winograd2);
    const std::vector<float> two = evaluation.logits();
    set_conv_algorithm(ConvAlgorithm::winograd4);
    const std::vector<float> four = evaluation.logits();
    set_conv_algorithm(ConvAlgorithm::winograd2);
    CHECK(evaluation.logits() == two);
    set_conv_algorithm(ConvAlgorithm::winograd4);
    CHECK(evaluation.logits() == four);
    set_conv_algorithm(ConvAlgorithm::automatic);
  }
}

TEST_CASE("constant parameters: what is kept is made once, and let go with the last promise") {
  Evaluation evaluation(resnet18().config);
  const std::vector<float> before = evaluation.logits();
  const std::size_t without = in_use();
  {
    const nn::ConstantParameters constant(*evaluation.model);
    {
      const nn::ConstantParameters again(*evaluation.model);
      CHECK(evaluation.logits() == before);
    }
    const std::size_t kept = in_use();
    CHECK(kept > without + (std::size_t{40} << 20));  // 11 million weights, packed
    CHECK(evaluation.logits() == before);
    CHECK(in_use() == kept);
  }
  CHECK(in_use() == without);

  // Other values give other logits: those of a model that never held the first ones.
  nn::initialize(*evaluation.model, 6);
  const std::vector<float> changed = evaluation.logits();
  CHECK(changed != before);
  const nn::ConstantParameters constant(*evaluation.model);
  CHECK(evaluation.logits() == changed);
}

TEST_CASE("constant parameters: parts of one storage are told apart") {
  // An arena holds all weights in one storage; layers of equal shape differ in their place only.
  Evaluation evaluation(vit_tiny().config);
  const nn::ParameterArena arena(*evaluation.model, 0, nn::DecayPolicy::all);
  const std::vector<float> expected = evaluation.logits();
  const nn::ConstantParameters constant(*evaluation.model);
  CHECK(evaluation.logits() == expected);
  CHECK(evaluation.logits() == expected);
}

TEST_CASE("constant parameters: two threads use one model") {
  Evaluation evaluation(resnet18().config);
  const std::vector<float> expected = evaluation.logits();
  std::vector<float> results[2];
  const auto use = [&](std::vector<float>& result) {
    const nn::ConstantParameters constant(*evaluation.model);
    result = evaluation.logits();
  };
  std::thread other(use, std::ref(results[0]));
  use(results[1]);
  other.join();
  CHECK(results[0] == expected);
  CHECK(results[1] == expected);
}

TEST_CASE("constant parameters: training and loading are refused, and go on afterwards") {
  Evaluation evaluation(vit_tiny().config);
  nn::ParameterArena arena(*evaluation.model, 0, nn::DecayPolicy::all);
  nn::Sgd optimizer(arena, {});
  Tensor state = evaluation.context.step_state();
  nn::write_step_state(state, {.learning_rate = 0.01});
  std::optional<nn::ConstantParameters> constant(std::in_place, *evaluation.model);
  CHECK_THROWS_WITH_AS(optimizer.step(state), doctest::Contains("ConstantParameters"), Error);
  CHECK_THROWS_WITH_AS(nn::initialize(*evaluation.model, 6), doctest::Contains("ConstantParameters"), Error);
  constant.reset();
  CHECK_NOTHROW(optimizer.step(state));
  CHECK_NOTHROW(nn::initialize(*evaluation.model, 6));
}
