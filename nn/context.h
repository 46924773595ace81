// Context: where a model lives - backend, dtype of its activations, and the step state its random ops read.
// Every layer takes it on construction. The model keeps handles only, so the Context may go before the model
// does.
#pragma once
#include <cstdint>

#include "tensor/backend.h"

namespace sagitta::nn {

class Context {
 public:
  explicit Context(Backend& backend, DType dtype = DType::f32);

  Backend& backend() const { return *backend_; }
  DType dtype() const { return dtype_; }
  // A StepState on the device, shared by all layers built from this context.
  const Tensor& step_state() const { return step_state_; }
  // A random stream that no other layer of this context uses.
  std::uint32_t new_stream() { return next_stream_++; }

 private:
  Backend* backend_;
  DType dtype_;
  Tensor step_state_;
  std::uint32_t next_stream_ = 0;
};

// Uploads the state that the next step reads.
void write_step_state(Tensor& step_state, const StepState& state);

}  // namespace sagitta::nn
