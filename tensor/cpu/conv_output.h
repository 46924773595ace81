// The last steps of a fused convolution: what becomes of a sum before it is stored. The direct sum (conv.cpp)
// and Winograd's transforms (winograd.cpp) both end here, so that they differ by rounding alone.
#pragma once

namespace sagitta::cpu::inline SAGITTA_ISA {

// y = relu?(sum * scale + shift + residual?), scale and shift by channel, residual like y or null. A null
// scale leaves the sum as it is.
template <class T>
struct ConvOutput {
  const T* scale = nullptr;
  const T* shift = nullptr;
  const T* residual = nullptr;
  bool relu = false;
};

// Which of the optional steps there are. Constant, where a loop is compiled for each of them.
struct OutputSteps {
  bool residual, relu;
};

// For numbers and vectors alike; residual() is called only where one is added.
template <class Value, class Residual>
inline Value finished(OutputSteps steps, const Value& sum, const Value& scale, const Value& shift,
                      const Residual& residual) {
  Value y = sum * scale + shift;
  if (steps.residual) y += residual();
  if (steps.relu) y = y < 0 ? Value{} : y;  // NaN stays, as in elementwise::Relu
  return y;
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
