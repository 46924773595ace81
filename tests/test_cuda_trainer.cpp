// The trainer on a CUDA device: its steps are recorded and replayed there, so whatever a record should not
// hold fixed (learning rate, step, the first of several accumulated batches, the loss scale) shows in the
// loss curve.
#include <doctest/doctest.h>

#include <cmath>
#include <tuple>

#include "cuda_test.h"
#include "trainer_fixture.h"

using namespace sagitta;
using namespace sagitta::testing;
using Json = nlohmann::json;

namespace {

// Losses of all steps, and of all validations, of a run.
std::vector<double> curve(const Run& run) {
  std::vector<double> losses;
  for (const Json& step : run.log("step")) losses.push_back(step["loss"]);
  for (const Json& epoch : run.log("epoch")) losses.push_back(epoch["validation_loss"]);
  return losses;
}

void check_follows(const std::vector<double>& curve, const std::vector<double>& expected, double tolerance) {
  REQUIRE(curve.size() == expected.size());
  for (std::size_t i = 0; i < curve.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(curve[i] - expected[i]) <= tolerance * expected[i]);
  }
}

}  // namespace

TEST_CASE("a run follows the CPU's in every precision, with and without accumulation") {
  for (const std::int64_t accumulate : {1, 2, 3}) {
    CAPTURE(accumulate);
    const TempFolder folder;
    const Trainer::Data data = make_data(folder, 13);
    TrainOptions options = options_for(accumulate);
    options.epochs = 3;
    options.lr = 3e-3;
    Run reference(RunDirectory::create(folder / "cpu"), options, data);
    reference.trainer->run();
    const std::vector<double> expected = curve(reference);
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      CAPTURE(name_of(dtype));
      Run run(RunDirectory::create(folder / std::string(name_of(dtype))), options, data,
              test::cuda_test_backend(), dtype);
      run.trainer->run();
      check_follows(curve(run), expected, dtype == DType::f32 ? 1e-4 : 2e-2);
      for (const Json& step : run.log("step")) {
        CHECK(step.contains("loss_scale") == (dtype == DType::f16));
        CHECK(step["gradient_norm"].is_number());
      }
    }
  }
}

TEST_CASE("a resumed run ends bitwise as an undisturbed one, its loss scale included") {
  const TempFolder folder;
  const Trainer::Data data = make_data(folder, 13);
  TrainOptions options = options_for(2);
  options.schedule = "constant";  // the learning rate must not depend on how many epochs are asked for
  Backend& backend = test::cuda_test_backend();
  Run whole(RunDirectory::create(folder / "whole"), options, data, backend, DType::f16);
  whole.trainer->run();
  options.epochs = 1;
  Run(RunDirectory::create(folder / "parts"), options, data, backend, DType::f16).trainer->run();
  options.epochs = 2;
  write_bytes(folder / "parts/recipe.toml", "");
  Run resumed(RunDirectory::open(folder / "parts"), options, data, backend, DType::f16);
  resumed.trainer->resume();
  resumed.trainer->run();
  for (const char* file : {"last/model.safetensors", "last/optimizer.safetensors", "best/model.safetensors"})
    CHECK(read_bytes(folder / (std::string("whole/") + file)) ==
          read_bytes(folder / (std::string("parts/") + file)));
}

TEST_CASE("a run that goes on with another device follows one that stayed on the CPU") {
  const TempFolder folder;
  const Trainer::Data data = make_data(folder, 13);
  TrainOptions options = options_for(2);
  options.schedule = "constant";  // the learning rate must not depend on how many epochs are asked for
  options.lr = 3e-3;
  options.ema = 0.8;  // the average goes over as the moments do
  options.epochs = 4;
  Run whole(RunDirectory::create(folder / "whole"), options, data);
  whole.trainer->run();
  Backend &cpu = cpu_backend(), &cuda = test::cuda_test_backend();
  const std::tuple<std::string, Backend*, Backend*> ways[] = {{"to-cuda", &cpu, &cuda},
                                                              {"to-cpu", &cuda, &cpu}};
  for (const auto& [name, first, second] : ways) {
    CAPTURE(name);
    options.epochs = 2;
    Run(RunDirectory::create(folder / name), options, data, *first).trainer->run();
    options.epochs = 4;
    write_bytes(folder / name / "recipe.toml", "");
    Run resumed(RunDirectory::open(folder / name), options, data, *second);
    resumed.trainer->resume();
    resumed.trainer->run();
    // The tolerance of a run that is on the other device from the beginning; and of weights, which a step of
    // Adam moves by about --lr.
    check_follows(curve(resumed), curve(whole), 1e-4);
    const std::vector<float> values = values_of(*resumed.model), expected = values_of(*whole.model);
    REQUIRE(values.size() == expected.size());
    float farthest = 0;
    for (std::size_t i = 0; i < values.size(); ++i)
      farthest = std::max(farthest, std::abs(values[i] - expected[i]));
    CHECK(farthest <= 5e-5);
  }
}

TEST_CASE("a step whose gradient overflows fp16 is skipped and logged, and training goes on") {
  const TempFolder folder;
  const Trainer::Data data = make_data(folder, 13);
  TrainOptions options = options_for(1);
  options.epochs = 3;
  Backend& backend = test::cuda_test_backend();
  Run run(RunDirectory::create(folder / "run"), options, data, backend, DType::f16);
  // A classifier with huge weights: the gradient of what is in front of it is huge as well.
  for (const nn::NamedParameter& named : run.model->named_parameters())
    if (named.name == "classifier.weight") {
      Tensor value = named.parameter->value();
      backend.scale(named.parameter->value(), 3000, {value});
      named.parameter->refresh_copy();
    }
  run.trainer->run();
  const std::vector<Json> steps = run.log("step");
  REQUIRE(steps.size() == 15);
  int skipped = 0;
  double scale = 65536;
  for (const Json& step : steps) {
    CAPTURE(step.dump());
    if (step["skipped"]) {
      ++skipped;
      scale /= 2;
      CHECK(step["gradient_norm"].is_null());
    } else {
      CHECK(step["gradient_norm"].is_number());
    }
    CHECK(step["loss_scale"] == scale);
  }
  CHECK(skipped >= 1);
  CHECK(skipped < 15);
}
