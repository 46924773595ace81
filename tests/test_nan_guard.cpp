// The guard against NaN: what is planted somewhere in a step is found at its first op, with its layer.
#include <doctest/doctest.h>

#include <limits>

#include "apps/observe/nan_guard.h"
#include "apps/observe/value_scan.h"
#include "observed_training.h"

using namespace sagitta;
using namespace sagitta::test;
using apps::NanGuard;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// What the guard says about a step; empty when it has nothing to say.
std::string message_of_step(ObservedTraining& observed, std::uint32_t step = 0,
                            const apps::NanGuardOptions& options = {}) {
  const NanGuard guard(observed.backend, observed.names, observed.phases, options);
  try {
    observed.run_step(step);
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

void check_parts(const std::string& message, const std::vector<std::string>& parts) {
  CAPTURE(message);
  for (const std::string& part : parts) {
    CAPTURE(part);
    CHECK(message.find(part) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("sound steps pass, and what they compute stays the same") {
  for (const TrainingCase& training_case : {resnet18(), vit_tiny()}) {
    ObservedTraining guarded(training_case, cpu_backend());
    Training plain(training_case, cpu_backend(), DType::f32);
    for (std::uint32_t step = 0; step < 2; ++step) {
      CHECK(message_of_step(guarded, step) == "");
      plain.run_step(step);
    }
    CHECK(guarded.training.values() == plain.values());
  }
}

TEST_CASE("an infinite weight is found at the op that reads it, by its name") {
  ObservedTraining resnet(resnet18(), cpu_backend());
  const std::string layer = "resnet.encoder.stages.1.layers.0.layer.1.convolution";
  resnet.plant(layer + ".weight", 7, kInf);
  check_parts(
      message_of_step(resnet, 3),
      {"NaN guard: conv2d at step 3, forward, layer " + layer + " gave the first NaN or Inf: ",
       " of 32768 in y (f32), from x 0 to ", ", weight 1 Inf of 147456; ", layer + ".weight was so before"});
  ObservedTraining vit(vit_tiny(), cpu_backend());
  vit.plant("vit.encoder.layer.2.intermediate.dense.bias", 0, kNan);
  check_parts(
      message_of_step(vit),
      {"linear at step 0, forward, layer vit.encoder.layer.2.intermediate.dense gave", " NaN of ",
       ", weight -", ", bias 1 NaN of 768; vit.encoder.layer.2.intermediate.dense.bias was so before"});
}

TEST_CASE("a NaN in the input is found where it is uploaded, or at the first op that meets it") {
  ObservedTraining resnet(resnet18(), cpu_backend());
  std::vector<float> pixels(static_cast<std::size_t>(resnet.training.pixels().numel()), 0.5F);
  pixels[5] = static_cast<float>(kNan);
  {
    const NanGuard guard(resnet.backend, resnet.names, resnet.phases);
    CHECK_THROWS_WITH_AS(
        resnet.backend.write(pixels.data(), resnet.training.pixels()),
        "NaN guard: write gave the first NaN or Inf: 1 NaN of 49152 in y (f32); the program gave "
        "it: check the data and weights that are loaded",
        Error);
  }
  check_parts(message_of_step(resnet),
              {"conv2d at step 0, forward, layer resnet.embedder.embedder.convolution", "x 1 NaN of 49152",
               "; x was so before: check what is loaded"});
}

TEST_CASE("an exploding learning rate is found in a step after it, where finite values overflow") {
  for (TrainingCase training_case : {resnet18(), vit_tiny()}) {
    training_case.lr = 1e30;
    ObservedTraining observed(training_case, cpu_backend());
    std::string message;
    for (std::uint32_t step = 0; step < 4 && message.empty(); ++step)
      message = message_of_step(observed, step);
    check_parts(message, {"gave the first NaN or Inf: ",
                          "; finite values overflowed: try a lower --lr or --clip-norm"});
    CHECK(message.find("so before") == std::string::npos);
  }
}

TEST_CASE("in backward the op is named, with the layer whose gradient it computes") {
  for (const TrainingCase& training_case : {resnet18(), vit_tiny()}) {
    const bool is_resnet = !training_case.adam;
    ObservedTraining observed(training_case, cpu_backend());
    const NanGuard guard(observed.backend, observed.names, observed.phases);
    // The loss is finite; its gradient by the parameters overflows.
    observed.training.write_state(0);
    const autograd::Variable loss = observed.training.forward();
    const Tensor seed = full(observed.backend, {1}, DType::f32, 3e38);
    const auto phase = observed.phases.phase("backward");
    try {
      autograd::backward(autograd::scale(loss, 1e3), seed);
      FAIL("nothing was found");
    } catch (const Error& error) {
      check_parts(error.what(), {"scale at backward gave", "finite values overflowed"});
    }
    const std::string weight = is_resnet ? "resnet.encoder.stages.3.layers.0.layer.0.convolution"
                                         : "vit.encoder.layer.1.output.dense";
    // A weight that only backward reads again: it changes between the passes.
    ObservedTraining changed(training_case, cpu_backend());
    const autograd::Variable sound = changed.training.forward();
    changed.plant(weight + ".weight", 0, kNan);
    const NanGuard second(changed.backend, changed.names, changed.phases);
    const auto backward = changed.phases.phase("backward");
    try {
      changed.training.backward(sound);
      FAIL("nothing was found");
    } catch (const Error& error) {
      check_parts(error.what(), {is_resnet ? "conv2d_backward_input at backward, layer "
                                           : "linear_backward at backward, layer ",
                                 weight + " gave", " in dx (f32), from ", "dy -", "weight 1 NaN of "});
    }
  }
}

TEST_CASE("what a gradient is added to is told apart from what is added") {
  ObservedBackend backend(cpu_backend());
  const apps::StepPhases phases;
  nn::Context context(backend);
  const auto model = models::make_classifier(vit_tiny().config, context);
  const apps::LayerNames names(*model);
  const NanGuard guard(backend, names, phases);
  Tensor x = full(backend, {2, 2}, DType::f32, 1), sum(backend, {2}, DType::f32);
  const auto message = [&](const Target& target) -> std::string {
    try {
      backend.sum_rows(x, target);
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  };
  const float old[] = {1, static_cast<float>(kNan)};
  cpu_backend().write(old, sum);  // behind the guard's back
  check_parts(message({sum, true}), {"sum_rows gave the first NaN or Inf: 1 NaN of 2 in y (f32), from x 1 to "
                                     "1, y not finite before; y was so"});
  CHECK(message({sum}) == "");  // overwritten, not read
  cpu_backend().fill(x, 3e38);
  check_parts(message({sum, true}),
              {": 2 Inf of 2 in y (f32), from x 3e+38 to 3e+38; finite values overflowed"});
}

TEST_CASE("the result of a batch norm is named before its statistics, which are news only once") {
  ObservedBackend backend(cpu_backend());
  const apps::StepPhases phases;
  nn::Context context(backend);
  const auto model = models::make_classifier(resnet18().config, context);
  const apps::LayerNames names(*model);
  const NanGuard guard(backend, names, phases);
  Tensor x = full(backend, {4, 2}, DType::f32, 1), gamma = full(backend, {2}, DType::f32, 1),
         beta = full(backend, {2}, DType::f32, 0), running_mean = full(backend, {2}, DType::f32, 0),
         running_var = full(backend, {2}, DType::f32, 1), y = x.like(), mean = beta.like(),
         rstd = beta.like();
  const auto message = [&](const std::vector<float>& values) -> std::string {
    cpu_backend().write(values.data(), x);
    try {
      backend.batch_norm({.training = true}, x, gamma, beta, running_mean, running_var, y, mean, rstd);
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  };
  CHECK(message({1, 2, 3, 4, 5, 6, 7, 8}) == "");
  // The variance overflows; what is divided by its root is 0.
  const std::vector<float> far{1e30F, 2, -1e30F, 4, 5, 6, 7, 8};
  check_parts(
      message(far),
      {"batch_norm gave the first NaN or Inf: 1 Inf of 2 in running_var (f32), from x -1e+30 to 1e+30",
       "; finite values overflowed"});
  CHECK(message(far) == "");
  CHECK(message({1, 2, 3, 4, 5, 6, 7, 8}) == "");
  const float infinity = static_cast<float>(kInf);
  check_parts(message({infinity, 2, 3, 4, 5, 6, 7, 8}),
              {"in y (f32), from x 1 Inf of 8", "running_var not finite before; x was so before"});
  cpu_backend().fill(running_var, 1);
  check_parts(message({infinity, 2, 3, 4, 5, 6, 7, 8}),
              {"in y (f32), from x 1 Inf of 8", "; x was so before"});
}

TEST_CASE("with a loss scale gradients may overflow, and everything else may not") {
  ObservedTraining observed(vit_tiny(), cpu_backend());
  const NanGuard guard(observed.backend, observed.names, observed.phases, {.skip_gradients = true});
  const autograd::Variable loss = observed.training.forward();
  CHECK_NOTHROW(autograd::backward(loss, full(cpu_backend(), {1}, DType::f32, kInf)));
  Tensor norm(observed.backend, {1}, DType::f32);
  CHECK_NOTHROW(observed.backend.squared_norm(observed.training.arena().gradients(), norm));
  CHECK_NOTHROW(observed.training.update());  // which such a gradient skips
  ObservedTraining broken(vit_tiny(), cpu_backend());
  broken.plant("vit.layernorm.weight", 0, kNan);
  const NanGuard other(broken.backend, broken.names, broken.phases, {.skip_gradients = true});
  CHECK_THROWS_AS(broken.training.forward(), Error);
}

TEST_CASE("values are scanned in every floating dtype; sums that overflow are no alarm") {
  Backend& cpu = cpu_backend();
  for (const DType dtype : {DType::f32, DType::f64, DType::bf16, DType::f16}) {
    CAPTURE(name_of(dtype));
    const Tensor source =
        from_host<float>(cpu, {2, 3}, {1, -2, 3, static_cast<float>(kInf), static_cast<float>(kNan), 4});
    Tensor values(cpu, {2, 3}, dtype);
    cpu.convert(source, values);
    const apps::ValueScan scan = apps::scan_values(values, cpu);
    CHECK(scan.text() == "1 NaN and 1 Inf of 6");
    CHECK_FALSE(apps::all_finite(values, cpu));
    CHECK(apps::scan_values(values.slice(0, 1), cpu).text() == "-2 to 3");
    CHECK(apps::all_finite(values.slice(0, 1), cpu));
    CHECK(apps::all_finite(Tensor(cpu, {0, 4}, dtype), cpu));
    CHECK(apps::scan_values(full(cpu, {2}, dtype, kNan), cpu).text() == "2 NaN of 2");
  }
  CHECK(apps::all_finite(full(cpu, {1000}, DType::f32, 3e38), cpu));
  Tensor opposite = from_host<float>(cpu, {2}, {static_cast<float>(kInf), static_cast<float>(-kInf)});
  CHECK_FALSE(apps::all_finite(opposite, cpu));
  CHECK_THROWS_WITH_AS(apps::scan_values(full(cpu, {1}, DType::i32, 0), cpu),
                       "scan_values: dtype is i32, expected a floating-point type", Error);
}
