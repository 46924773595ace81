// Watching a CUDA device: a recorded step is left alone, and goes op by op while somebody looks.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "apps/observe/nan_guard.h"
#include "apps/observe/step_trace.h"
#include "apps/observe/value_scan.h"
#include "cuda_test.h"
#include "observed_training.h"
#include "temp_folder.h"

using namespace sagitta;
using namespace sagitta::test;

namespace {

TrainingCase small(TrainingCase training_case) {
  if (auto* vit = std::get_if<models::ViTConfig>(&training_case.config.architecture))
    vit->num_hidden_layers = 2;
  else
    training_case.config.image_size = 32;
  return training_case;
}

// What the guard says about a step; empty when it has nothing to say.
std::string message_of_step(ObservedTraining& observed) {
  const apps::NanGuard guard(observed.backend, observed.names, observed.phases);
  try {
    observed.run_step(0);
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("a recorded step that is traced in between does bitwise what one does that nobody watches") {
  const testing::TempFolder folder;
  for (const TrainingCase& training_case : {small(resnet18()), small(vit_tiny())}) {
    Training eager(training_case, cuda_test_backend(), DType::bf16);
    ObservedTraining observed(training_case, cuda_test_backend(), DType::bf16);
    apps::StepTrace trace(observed.backend, observed.names, observed.phases, {.first_step = 3});
    const auto captured = observed.backend.capture([&] { observed.training.enqueue_step(); });
    for (std::uint32_t step = 0; step < 6; ++step) {
      CAPTURE(step);
      eager.run_step(step);
      const auto phase = observed.phases.step(step);
      observed.training.write_state(step);
      captured->replay();
      CHECK(eager.loss() == observed.training.loss());
    }
    CHECK(eager.values() == observed.training.values());
    CHECK(trace.is_complete());
    trace.write(folder / "trace.json");
    const auto json = nlohmann::json::parse(testing::read_bytes(folder / "trace.json"));
    int products = 0;
    for (const auto& event : json["traceEvents"]) {
      const std::string name = event["name"];
      products += name.starts_with("linear_backward ") || name.starts_with("conv2d_backward_weight ");
      if (name.starts_with("conv2d ")) CHECK(event["args"]["dtype"] == "bf16");
    }
    // Every weight has its layer's name, though a cast stands between its gradient and the op.
    CHECK(products == (training_case.adam ? 1 + 4 * 2 + 1 : 20 + 1));
  }
}

TEST_CASE("the guard looks at every dtype on the device") {
  Backend& device = cuda_test_backend();
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    CAPTURE(name_of(dtype));
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const Tensor source = from_host<float>(device, {2, 2}, {1, -2, nan, 3});
    Tensor values(device, {2, 2}, dtype);
    device.convert(source, values);
    CHECK_FALSE(apps::all_finite(values, device));
    CHECK(apps::scan_values(values, device).text() == "1 NaN of 4");
    CHECK(apps::all_finite(values.slice(0, 1), device));
    CHECK(apps::all_finite(full(device, {1000}, dtype, dtype == DType::f16 ? 6e4 : 3e38), device));
  }
  for (const DType dtype : {DType::f32, DType::bf16}) {
    CAPTURE(name_of(dtype));
    ObservedTraining resnet(small(resnet18()), device, dtype);
    CHECK(message_of_step(resnet) == "");
    const std::string convolution = "resnet.encoder.stages.1.layers.0.layer.1.convolution";
    resnet.plant(convolution + ".weight", 3, std::numeric_limits<double>::infinity());
    const std::string of_resnet = message_of_step(resnet);
    CAPTURE(of_resnet);
    CHECK(of_resnet.starts_with("NaN guard: conv2d at step 0, forward, layer " + convolution + " gave"));
    CHECK(of_resnet.find("weight 1 Inf of 147456") != std::string::npos);

    ObservedTraining vit(small(vit_tiny()), device, dtype);
    CHECK(message_of_step(vit) == "");
    vit.plant("vit.encoder.layer.1.output.dense.bias", 3, std::numeric_limits<double>::quiet_NaN());
    const std::string of_vit = message_of_step(vit);
    CAPTURE(of_vit);
    CHECK(of_vit.starts_with(
        "NaN guard: linear at step 0, forward, layer vit.encoder.layer.1.output.dense gave"));
  }
}
