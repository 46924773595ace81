#include "cuda/dnn_graph.h"

#include "cuda/alignment.h"
#include "tensor/error.h"

namespace sagitta::cuda {

PlanTarget PlanTarget::from_description(std::string_view json) {
  Descriptor description(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  description.set_list(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::span<const char>(json)).finalize();
  return PlanTarget(std::move(description));
}

void PlanTarget::attach_to_graph(Descriptor& graph) const {
  if (const auto* handle = std::get_if<cudnnHandle_t>(&target_))
    graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, *handle);
}
void PlanTarget::attach_to_heuristics(Descriptor& heuristics) const {
  if (const auto* description = std::get_if<Descriptor>(&target_))
    heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *description);
}
void PlanTarget::attach_to_engine(Descriptor& engine) const {
  if (const auto* description = std::get_if<Descriptor>(&target_))
    engine.set(CUDNN_ATTR_ENGINE_DEVICEPROP, *description);
}
void PlanTarget::attach_to_plan(Descriptor& plan) const {
  if (const auto* handle = std::get_if<cudnnHandle_t>(&target_))
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, *handle);
  else
    plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, std::get<Descriptor>(target_));
}

cudnnDataType_t data_type_of(DType dtype) {
  switch (dtype) {
    case DType::f32: return CUDNN_DATA_FLOAT;
    case DType::bf16: return CUDNN_DATA_BFLOAT16;
    case DType::f16: return CUDNN_DATA_HALF;
    default: fail("cudnn: dtype is {}, expected f32, bf16 or f16", name_of(dtype));
  }
}

Graph::Layout Graph::Layout::transposed() const {
  Layout layout = *this;
  const std::size_t rank = extents.size();
  std::swap(layout.extents[rank - 1], layout.extents[rank - 2]);
  std::swap(layout.strides[rank - 1], layout.strides[rank - 2]);
  return layout;
}

Graph::Value Graph::add_tensor(std::int64_t uid, const Layout& layout, bool in_memory, bool by_value) {
  return part(CUDNN_BACKEND_TENSOR_DESCRIPTOR)
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, uid)
      .set(CUDNN_ATTR_TENSOR_DATA_TYPE, layout.type)
      .set_list(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span(layout.extents))
      .set_list(CUDNN_ATTR_TENSOR_STRIDES, std::span(layout.strides))
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, std::int64_t{kAlignment})
      .set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, !in_memory)
      .set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, by_value)
      .finalize();
}
Graph::Value Graph::tensor(std::int64_t uid, const Layout& layout) {
  return add_tensor(uid, layout, true, false);
}
Graph::Value Graph::intermediate(const Layout& layout) {
  return add_tensor(next_intermediate_++, layout, false, false);
}
Graph::Value Graph::scalar(std::int64_t uid, int rank) {
  const Extents ones(static_cast<std::size_t>(rank), 1);
  return add_tensor(uid, {ones, ones, CUDNN_DATA_FLOAT}, true, true);
}

Graph::Value Graph::convolution_descriptor(const Conv2dParams& params) {
  return part(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR)
      .set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2})
      .set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION)
      .set_list(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, {params.padding, params.padding})
      .set_list(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, {params.padding, params.padding})
      .set_list(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, {params.stride, params.stride})
      .set_list(CUDNN_ATTR_CONVOLUTION_DILATIONS, {1, 1})
      .finalize();
}

void Graph::convolution(const Conv2dParams& params, Value x, Value weight, Value y) {
  operation(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, convolution_descriptor(params))
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, weight)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, 1.0f)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, 0.0f)
      .finalize();
}
void Graph::convolution_backward_input(const Conv2dParams& params, Value weight, Value dy, Value dx) {
  operation(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, convolution_descriptor(params))
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, weight)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, dy)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, dx)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, 1.0f)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, 0.0f)
      .finalize();
}
void Graph::convolution_backward_weight(const Conv2dParams& params, Value x, Value dy, Value dweight) {
  operation(CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, convolution_descriptor(params))
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, x)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, dy)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, dweight)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, 1.0f)
      .set(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, 0.0f)
      .finalize();
}

Descriptor& Graph::pointwise_operation(cudnnPointwiseMode_t mode, Value x, Value y) {
  Value function = part(CUDNN_BACKEND_POINTWISE_DESCRIPTOR)
                       .set(CUDNN_ATTR_POINTWISE_MODE, mode)
                       .set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT)
                       .finalize();
  return operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, function)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x)
      .set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
}
void Graph::pointwise(cudnnPointwiseMode_t mode, Value x, Value y) {
  pointwise_operation(mode, x, y).finalize();
}
void Graph::pointwise(cudnnPointwiseMode_t mode, Value a, Value b, Value y) {
  pointwise_operation(mode, a, y).set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b).finalize();
}
void Graph::matmul(Value a, Value b, Value y) {
  Value product =
      part(CUDNN_BACKEND_MATMUL_DESCRIPTOR).set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT).finalize();
  operation(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR)
      .set(CUDNN_ATTR_OPERATION_MATMUL_DESC, product)
      .set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, a)
      .set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, b)
      .set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, y)
      .finalize();
}
void Graph::reduce_sum(Value x, Value y) {
  Value sum = part(CUDNN_BACKEND_REDUCTION_DESCRIPTOR)
                  .set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_REDUCE_TENSOR_ADD)
                  .set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT)
                  .finalize();
  operation(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR)
      .set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, sum)
      .set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x)
      .set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y)
      .finalize();
}
void Graph::reshape(Value x, Value y) {
  operation(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR)
      .set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x)
      .set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y)
      .finalize();
}
void Graph::attention(Value q, Value k, Value v, Value scale, Value o, Value lse) {
  operation(CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR)
      .set(CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, q)
      .set(CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, k)
      .set(CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, v)
      .set(CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, scale)
      .set(CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, o)
      .set(CUDNN_ATTR_OPERATION_SDPA_FWD_STATSDESC, lse)
      .finalize();
}

Descriptor Graph::finish(const PlanTarget& target) const {
  std::vector<cudnnBackendDescriptor_t> operations;
  for (const Descriptor& operation : operations_) operations.push_back(operation.raw());
  Descriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set_descriptors(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations);
  target.attach_to_graph(graph);
  graph.finalize();
  return graph;
}

}  // namespace sagitta::cuda
