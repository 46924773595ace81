// A model in training on a backend that can be watched, with its phases: for the tests of what watches.
#pragma once
#include <string>
#include <vector>

#include "apps/observe/layer_names.h"
#include "apps/observe/step_phases.h"
#include "tensor/error.h"
#include "training_steps.h"

namespace sagitta::test {

struct ObservedTraining {
  ObservedTraining(const TrainingCase& training_case, Backend& inner, DType dtype = DType::f32)
      : backend(inner), training(training_case, backend, dtype), names(training.model()) {}

  void run_step(std::uint32_t step) {
    const auto whole = phases.step(step);
    {
      const auto phase = phases.phase("upload");
      training.write_state(step);
    }
    autograd::Variable loss;
    {
      const auto phase = phases.phase("forward");
      loss = training.forward();
    }
    {
      const auto phase = phases.phase("backward");
      training.backward(loss);
    }
    const auto phase = phases.phase("update");
    training.update();
  }

  nn::Parameter& parameter(const std::string& name) {
    for (const nn::NamedParameter& named : training.model().named_parameters())
      if (named.name == name) return *named.parameter;
    fail("there is no parameter {}", name);
  }
  // Overwrites one element of a parameter's value, whatever the device.
  void plant(const std::string& name, std::size_t index, double value) {
    std::vector<double> values;
    for (const float old : to_host<float>(parameter(name).value())) values.push_back(old);
    values.at(index) = value;
    parameter(name).assign(values);
  }

  ObservedBackend backend;
  Training training;
  apps::LayerNames names;
  apps::StepPhases phases;
};

// The methods that are called, in their order.
struct MethodLog final : BackendObserver {
  explicit MethodLog(ObservedBackend& backend) : backend(backend) { backend.attach(*this); }
  ~MethodLog() override { backend.detach(*this); }
  void after(const BackendCall& call) override { methods.emplace_back(call.method); }

  ObservedBackend& backend;
  std::vector<std::string> methods;
};

}  // namespace sagitta::test
