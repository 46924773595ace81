// The study model against PyTorch (tests/golden/make_study_model.py), its gradient against differences, and
// its directory against damage.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "golden_case.h"
#include "models/study_model.h"
#include "nn/checkpoint.h"
#include "nn/init.h"
#include "temp_folder.h"

using namespace sagitta;
using namespace sagitta::testing;
using autograd::Variable;

namespace {

struct StudyCase {
  StudyCase()
      : context(cpu_backend()),
        model(models::import_study_model(golden_folder("study"), context)),
        file(safetensors::File::open(golden_folder("study") / "golden.safetensors")) {
    model->eval();
  }
  Variable read(const char* name) const {
    return Variable(safetensors::read(file.at(name), cpu_backend(), DType::f32));
  }
  std::vector<float> golden(const std::string& name) const {
    return safetensors::values_of<float>(file.at(name));
  }
  Variable logits() const { return (*model)(read("features"), read("slice_logits")); }

  nn::Context context;
  std::unique_ptr<models::StudyModel> model;
  safetensors::File file;
};

// The competition's weights as the loss takes them, straight from its definition.
Tensor competition_weights(const std::vector<float>& targets) {
  std::vector<float> weights;
  for (std::size_t i = 0; i < targets.size(); i += 8) {
    float sum = 0;
    for (std::size_t j = 0; j < 8; ++j) sum += (j == 0 ? 7.0F : 1.0F) * (1 + targets[i + j]);
    for (std::size_t j = 0; j < 8; ++j)
      weights.push_back(8 * (j == 0 ? 7.0F : 1.0F) * (1 + targets[i + j]) / sum);
  }
  return from_host(cpu_backend(), {static_cast<std::int64_t>(targets.size() / 8), 8}, weights);
}

models::StudyConfig small_config() {
  models::StudyConfig config{.planes = 4,
                             .embedding_width = 3,
                             .slice_labels = {"C1", "C2"},
                             .slice_models = {{"a", "1"}},
                             .labels = {"C1", "C2"},
                             .members = 2,
                             .hidden_size = 8,
                             .num_hidden_layers = 1,
                             .num_attention_heads = 2,
                             .intermediate_size = 10};
  config.initializer_range = 0.5;
  return config;
}

// A copy of the golden model in which `change` was made to the text of config.json.
void copy_with_config(const TempFolder& folder, const std::string& from, const std::string& to) {
  std::filesystem::copy(golden_folder("study") / "model.safetensors", folder / "model.safetensors");
  std::string text = read_bytes(golden_folder("study") / "config.json");
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  write_bytes(folder / "config.json", text.replace(at, from.size(), to));
}

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("study model: logits, loss and every gradient are PyTorch's") {
  const StudyCase golden;
  const Variable logits = golden.logits();
  CHECK(relative_error(to_host<float>(logits.value()), golden.golden("logits")) < 1e-5);
  const Tensor targets = golden.read("targets").value();
  const Variable loss =
      autograd::bce_with_logits(logits, targets, {}, competition_weights(golden.golden("targets")));
  CHECK(scalar_of(loss.value()) == doctest::Approx(golden.golden("loss").front()).epsilon(1e-6));
  autograd::backward(loss);
  int compared = 0;
  for (const nn::NamedParameter& named : golden.model->named_parameters()) {
    const Tensor gradient = named.parameter->variable().gradient();
    REQUIRE(gradient);
    const std::string module = named.name.substr(0, named.name.size() - named.parameter->name().size());
    const auto check = [&](const std::string& name, const Tensor& part) {
      CAPTURE(name);
      const std::vector<float> values = to_host<float>(part), expected = golden.golden("grad." + name);
      ++compared;
      if (name.ends_with("key.bias")) {  // a softmax does not see what is added to all keys: 0 up to rounding
        for (const float value : values) CHECK(std::abs(value) < 1e-7);
      } else {
        CHECK(relative_error(values, expected) < 1e-4);
      }
    };
    if (named.parameter->slices().empty()) check(named.name, gradient);
    for (const nn::FileSlice& slice : named.parameter->slices())
      check(module + slice.name, gradient.slice(slice.begin, slice.end));
  }
  CHECK(compared == 2 * (2 + 2 + 2 * 16 + 2 + 2));
}

TEST_CASE("study model: the gradient agrees with central differences in f64") {
  nn::Context context(cpu_backend(), DType::f64);
  models::StudyModel model(small_config(), context);
  nn::initialize(model, 7);
  const auto random_tensor = [&](const Shape& shape, std::uint32_t stream) {
    std::vector<double> values;
    for (std::int64_t i = 0; i < shape.numel(); ++i)
      values.push_back(random::normal({3, stream, 0}, static_cast<std::uint64_t>(i)));
    return from_host(cpu_backend(), shape, values);
  };
  const Tensor features = random_tensor({2, 4, 5}, 1), slice_logits = random_tensor({2, 2}, 2);
  const Tensor projection = random_tensor({2, 2}, 3);
  const auto output = [&] {
    const Variable logits = model(Variable(features), Variable(slice_logits));
    return autograd::sum(autograd::mul(logits, Variable(projection)));
  };
  autograd::backward(output());
  for (const nn::NamedParameter& named : model.named_parameters()) {
    CAPTURE(named.name);
    nn::Parameter& parameter = *named.parameter;
    const std::vector<double> values = to_host<double>(parameter.value());
    const std::vector<double> gradient = to_host<double>(parameter.variable().gradient());
    std::vector<double> moved = values;
    double expected = 0;
    constexpr double kStep = 1e-6;
    std::vector<double> direction;
    for (std::size_t i = 0; i < values.size(); ++i) {
      direction.push_back(random::normal({4, 5, 0}, i));
      expected += direction[i] * gradient[i];
    }
    const auto at = [&](double distance) {
      for (std::size_t i = 0; i < values.size(); ++i) moved[i] = values[i] + distance * direction[i];
      parameter.assign(moved);
      return scalar_of(output().value());
    };
    const double measured = (at(kStep) - at(-kStep)) / (2 * kStep);
    parameter.assign(values);
    CHECK(measured == doctest::Approx(expected).epsilon(1e-5));
  }
}

TEST_CASE("study model: a directory comes back as it was written") {
  const TempFolder folder;
  nn::Context context(cpu_backend());
  models::StudyModel model(small_config(), context);
  nn::initialize(model, 1);
  models::export_study_model(model, folder / "model");
  const auto again = models::import_study_model(folder / "model", context);
  CHECK(again->config() == model.config());
  const auto before = nn::file_tensors(model), after = nn::file_tensors(*again);
  REQUIRE(before.size() == after.size());
  for (std::size_t i = 0; i < before.size(); ++i)
    CHECK(to_host<float>(before[i].memory) == to_host<float>(after[i].memory));
}

TEST_CASE("study model: position matters, and an input of another size is refused") {
  StudyCase golden;
  const std::vector<float> features = golden.golden("features");
  std::vector<float> reversed(features.size());
  for (std::size_t b = 0; b < 3; ++b)
    for (std::size_t t = 0; t < 5; ++t)
      std::copy_n(features.begin() + static_cast<std::ptrdiff_t>((b * 5 + t) * 26), 26,
                  reversed.begin() + static_cast<std::ptrdiff_t>((b * 5 + 4 - t) * 26));
  const Variable other =
      (*golden.model)(Variable(from_host(cpu_backend(), {3, 5, 26}, reversed)), golden.read("slice_logits"));
  CHECK(relative_error(to_host<float>(other.value()), golden.golden("logits")) > 1e-3);
  const Variable fewer(zeros(cpu_backend(), {3, 4, 26}, DType::f32));
  CHECK(error_of([&] {
          (*golden.model)(fewer, golden.read("slice_logits"));
        }).find("features are [3, 4, 26], expected [B, 5, 26]") != std::string::npos);
}

TEST_CASE("study model: a directory that does not fit is refused by name") {
  nn::Context context(cpu_backend());
  const auto message = [&](const std::string& from, const std::string& to) {
    const TempFolder folder;
    copy_with_config(folder, from, to);
    return error_of([&] { models::import_study_model(folder.path(), context); });
  };
  const auto contains = [](const std::string& text, const char* part) {
    CAPTURE(text);
    CHECK(text.find(part) != std::string::npos);
  };
  contains(message("sagitta-study", "resnet"), "architecture");
  contains(message("\"planes\": 5", "\"planes\": 6"),
           "position_embeddings is [1, 6, 12], expected [1, 7, 12]");
  contains(message("\"planes\": 5", "\"planes\": -5"), "planes is -5");
  contains(message("\"hidden_size\": 12", "\"hidden_size\": 13"), "not a multiple of num_attention_heads");
  contains(message("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3"), "encoder.layer.2");
  contains(message("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1"), "unexpected");
  contains(message("\"hidden_size\": 12", "\"hidden_size\": 65535"), "larger model than the");
  contains(message("\"members\": 2", "\"members\": 3"), "member.2.projection.weight");
  contains(message("\"members\": 2", "\"members\": 0"), "members is 0");
  contains(message("\"members\": 2", "\"members\": 1000"), "larger model than the");
  contains(message("\"fingerprint\": \"0123456789abcdef\"", "\"fingerprint\": 5"), "slice_models");
  contains(message("\"C1\"", "1"), "a list of names");
  CHECK(error_of([&] { models::import_study_model(golden_folder("vit"), context); }).find("architecture") !=
        std::string::npos);
  const TempFolder empty;
  contains(error_of([&] { models::import_study_model(empty.path(), context); }), "no such file");
  copy_with_config(empty, "sagitta-study", "sagitta-study");
  std::filesystem::resize_file(empty / "model.safetensors", 1000);
  contains(error_of([&] { models::import_study_model(empty.path(), context); }), "model.safetensors");
}
