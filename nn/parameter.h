// Parameter and Buffer: the trained and the merely remembered state of a module.
// Invariant: a parameter's full name is its Hugging Face name, so reading a checkpoint is a lookup. It
// declares its file layout (never guessed from a shape) and may stand for several file tensors as consecutive
// row slices (fused q, k, v). Value and gradient are f32 (f64 in an f64 context) whatever the context
// computes in: a 16-bit value could not hold a small update. In a 16-bit context all but the norms'
// parameters have a rounded copy beside the value; ops read the copy, everything else the value.
#pragma once
#include <string>
#include <vector>

#include "autograd/variable.h"
#include "nn/context.h"
#include "nn/init.h"

namespace sagitta::nn {

class Module;

// How a tensor is laid out in a checkpoint file.
enum class FileLayout {
  same,  // as in memory
  oihw,  // convolution weights: file [O,I,KH,KW], memory [O,KH,KW,I]
};

// What a parameter is to the optimizer: decides weight decay (nn/arena.h), and for norms that it has no copy.
enum class Role {
  weight,
  bias,
  batch_norm_weight,
  batch_norm_bias,
  layer_norm_weight,
  layer_norm_bias,
  embedding
};
bool is_norm(Role role);

// Rows [begin, end) of a parameter that have a file name of their own, relative to the module.
struct FileSlice {
  std::string name;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

struct ParameterOptions {
  Init init = {};
  Role role = Role::weight;
  FileLayout layout = FileLayout::same;
  std::vector<FileSlice> slices = {};  // empty: one file tensor with the parameter's own name
};

class Parameter {
 public:
  // Registers itself with `owner` under `name`. The value is unset until initialize(), assign() or a
  // checkpoint: a large model that is about to be loaded touches no memory.
  Parameter(Module* owner, std::string name, const Context& context, const Shape& shape,
            ParameterOptions options);
  Parameter(const Parameter&) = delete;
  Parameter& operator=(const Parameter&) = delete;

  // What ops take: the value or, if there is one, its copy, through which the gradient reaches the value.
  autograd::Variable variable() const;
  operator autograd::Variable() const { return variable(); }
  const Tensor& value() const { return master_.value(); }
  const Tensor& copy() const { return copy_; }  // empty: none
  const Shape& shape() const { return value().shape(); }
  const std::string& name() const { return name_; }
  const Init& init() const { return options_.init; }
  Role role() const { return options_.role; }
  FileLayout layout() const { return options_.layout; }
  const std::vector<FileSlice>& slices() const { return options_.slices; }

  // A frozen parameter is a constant to the ops: nothing is computed for a gradient that nobody uses.
  void freeze(bool on) { frozen_ = on; }
  bool frozen() const { return frozen_; }

  autograd::Leaf& leaf() const { return static_cast<autograd::Leaf&>(*master_.node()); }
  // Overwrites the value (row-major, as in memory) and the copy.
  void assign(const std::vector<double>& values);
  // Rounds the value into the copy again, after the value was written to directly.
  void refresh_copy();
  // Takes `value`, of equal shape and dtype, in place of its own memory.
  void adopt(Tensor value);
  // Moves value, gradient and copy into the given memory of equal shape, keeping the value. `copy` is not
  // looked at when there is none.
  void rebind(Tensor value, Tensor gradient, Tensor copy);

 private:
  std::string name_;
  ParameterOptions options_;
  autograd::Variable master_;
  Tensor copy_;
  bool frozen_ = false;
};

// State that no gradient reaches: running statistics, counters.
class Buffer {
 public:
  Buffer(Module* owner, std::string name, const Context& context, const Shape& shape, DType dtype,
         double start);
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  Tensor& value() { return value_; }
  const Tensor& value() const { return value_; }
  const std::string& name() const { return name_; }
  void reset() { value_.backend().fill(value_, start_); }

 private:
  std::string name_;
  Tensor value_;
  double start_;
};

}  // namespace sagitta::nn
