// RecordedCall: one call of a Backend method, in a form that can be made again on another backend.
// Kept are shapes and dtypes, and the values of small integer tensors, which decide what a kernel does
// (segments, step state). Everything else is made anew with random values: the time of a kernel does not
// depend on them, as long as they are not all zero.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "tensor/backend.h"

namespace sagitta::bench {

struct TensorNote {
  bool present = false;
  Shape shape;
  DType dtype = DType::f32;
  std::vector<std::byte> values;  // of small integer tensors
  double bytes() const;
};
struct TargetNote {
  TensorNote dst;
  bool accumulate = false;
};
struct UpdateNote {
  TensorNote segment_end, segment_decay, segment_rate, state, norm2, loss_scale, gradient, values, copy;
};

// `tensor` lives in host memory.
TensorNote note_of(const Tensor& tensor);
TargetNote note_of(const Target& target);
UpdateNote note_of(const ParameterUpdate& update);
template <class Params>
Params note_of(const Params& params) {
  return params;
}

// Makes the arguments of a recorded call on a backend.
class TensorMaker {
 public:
  explicit TensorMaker(Backend& backend);

  Backend& backend() const { return backend_; }
  Tensor make(const TensorNote& note) const;
  Target make(const TargetNote& note) const;
  ParameterUpdate make(const UpdateNote& note) const;
  template <class Params>
  Params make(const Params& params) const {
    return params;
  }

 private:
  Backend& backend_;
  Tensor noise_;  // f32 [n], standard normal
};

// Bytes that the call must move through memory if it touches each element once: what is added to is also
// read.
double bytes_of(const TensorNote& note);
double bytes_of(const TargetNote& note);
double bytes_of(const UpdateNote& note);
template <class Params>
double bytes_of(const Params&) {
  return 0;
}

// For the reader of a table, and (with every shape and dtype) to tell calls apart.
struct CallText {
  std::string key;
  std::string shown() const;
  void add(const TensorNote& note);
  void add(const TargetNote& note);
  void add(const UpdateNote& note);
  void add(const Conv2dParams& params);
  void add(const MatmulParams& params);
  void add(const LinearParams& params);
  void add(const BatchNormParams& params);
  void add(const PoolParams& params);
  void add(const AttentionParams& params);
  void add(UnaryOp op);
  void add(BinaryOp op);
  template <class Params>
  void add(const Params&) {}  // changes nothing about the time

 private:
  std::vector<std::string> shapes_, words_;
};

struct RecordedCall {
  std::string op;           // the method
  std::string detail = {};  // shapes of matrices and images; "-" for what was left out; parameters
  double flop = 0;          // of its products
  double bytes = 0;
  int times = 1;  // equal calls
  // Allocates arguments and returns the call.
  std::function<std::function<void()>(const TensorMaker&)> prepare = {};
};

}  // namespace sagitta::bench
