#include "nn/context.h"

namespace sagitta::nn {

Context::Context(Backend& backend, DType dtype)
    : backend_(&backend), dtype_(dtype), step_state_(backend, {sizeof(StepState)}, DType::u8) {
  write_step_state(step_state_, StepState{});
}

void write_step_state(Tensor& step_state, const StepState& state) {
  step_state.backend().write(&state, step_state);
}

}  // namespace sagitta::nn
