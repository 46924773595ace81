// Graph: a computation as cuDNN sees it - tensors, and operations between them.
// Built once per op and shape; then an engine is sought that can run all of it in one go. Invariant: it is
// complete before target() is asked for plans, and outlives every plan made of it.
#pragma once
#include <cudnn.h>

#include <cstdint>
#include <deque>
#include <string_view>
#include <variant>
#include <vector>

#include "cuda/dnn_descriptor.h"
#include "tensor/dtype.h"
#include "tensor/op_params.h"

namespace sagitta::cuda {

// What plans are made for: the GPU of a handle, or the description of a GPU that need not be there.
class PlanTarget {
 public:
  explicit PlanTarget(cudnnHandle_t handle) : target_(handle) {}
  // `json` lists a GPU's properties by cuDNN's names, as CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION has them.
  static PlanTarget from_description(std::string_view json);

  // Sets the attribute that ties a descriptor to the target; each of the two kinds has its own places for it.
  void attach_to_graph(Descriptor& graph) const;
  void attach_to_heuristics(Descriptor& heuristics) const;
  void attach_to_engine(Descriptor& engine) const;
  void attach_to_plan(Descriptor& plan) const;

 private:
  explicit PlanTarget(Descriptor description) : target_(std::move(description)) {}
  std::variant<cudnnHandle_t, Descriptor> target_;
};

cudnnDataType_t data_type_of(DType dtype);  // throws for other than f32, bf16 and f16

class Graph {
 public:
  using Extents = std::vector<std::int64_t>;
  using Value = const Descriptor&;  // a tensor of the graph; lives as long as the graph

  // Extents and strides in cuDNN's order of axes, in elements.
  struct Layout {
    Extents extents, strides;
    cudnnDataType_t type = CUDNN_DATA_FLOAT;
    Layout transposed() const;  // the last two axes exchanged: the same memory seen as a transposed matrix
  };

  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  // A tensor in memory, which is bound by `uid` (unique, > 0) when a plan runs. Memory is aligned, as in
  // cuda/alignment.h.
  Value tensor(std::int64_t uid, const Layout& layout);
  // A value between two operations, which gets no memory.
  Value intermediate(const Layout& layout);
  // An f32 in host memory, read when a plan runs. It stands for a tensor of `rank` axes of extent 1.
  Value scalar(std::int64_t uid, int rank);

  // Cross-correlation, as neural networks mean it, of two spatial axes.
  void convolution(const Conv2dParams& params, Value x, Value weight, Value y);
  void convolution_backward_input(const Conv2dParams& params, Value weight, Value dy, Value dx);
  void convolution_backward_weight(const Conv2dParams& params, Value x, Value dy, Value dweight);
  void pointwise(cudnnPointwiseMode_t mode, Value x, Value y);
  void pointwise(cudnnPointwiseMode_t mode, Value a, Value b, Value y);
  void matmul(Value a, Value b, Value y);  // the last two axes
  void reduce_sum(Value x, Value y);       // over the axes that have extent 1 in y
  void reshape(Value x, Value y);
  // o = softmax(scale q k^T) v; lse gets the log-sum-exp of the scores.
  void attention(Value q, Value k, Value v, Value scale, Value o, Value lse);

  // The finished graph. Throws Error when cuDNN finds it wrong.
  Descriptor finish(const PlanTarget& target) const;

 private:
  Descriptor& part(cudnnBackendDescriptorType_t type) { return parts_.emplace_back(type); }
  Value add_tensor(std::int64_t uid, const Layout& layout, bool in_memory, bool by_value);
  Value convolution_descriptor(const Conv2dParams& params);
  // Not finalized: a second operand may follow.
  Descriptor& pointwise_operation(cudnnPointwiseMode_t mode, Value x, Value y);
  Descriptor& operation(cudnnBackendDescriptorType_t type) { return operations_.emplace_back(type); }

  std::deque<Descriptor> parts_;  // tensors, and what operations refer to
  std::deque<Descriptor> operations_;
  std::int64_t next_intermediate_ = 1000;  // uids of intermediates, beyond those of tensors
};

}  // namespace sagitta::cuda
