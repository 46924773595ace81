#include "played_gpu.h"

#include <cuda_runtime.h>
#include <cudnn.h>
#include <dlfcn.h>

#include <algorithm>

#include "cuda/cuda.h"
#include "cuda/dnn_descriptor.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

struct CUevent_st {
  float time = 0;
};

namespace sagitta::test {
namespace {

using SetAttribute = decltype(&cudnnBackendSetAttribute);

SetAttribute real_set_attribute() {
  static const auto function = reinterpret_cast<SetAttribute>(dlsym(RTLD_NEXT, "cudnnBackendSetAttribute"));
  return function;
}

cudnnStatus_t set_description(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name) {
  static const cuda::Descriptor description = [] {
    const std::string json = h100_description();
    cuda::Descriptor made(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    made.set_list(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::span<const char>(json)).finalize();
    return made;
  }();
  const cudnnBackendDescriptor_t raw = description.raw();
  return real_set_attribute()(descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &raw);
}

// A pack of bindings cannot be read back, so what is set is noted.
struct Pack {
  std::vector<std::int64_t> uids;
  std::vector<void*> pointers;
};
std::map<cudnnBackendDescriptor_t, Pack>& packs() {
  static std::map<cudnnBackendDescriptor_t, Pack> noted;
  return noted;
}

}  // namespace

PlayedGpu& played_gpu() {
  static PlayedGpu gpu;
  return gpu;
}

std::string h100_description() {
  // cuDNN opens "libcuda.so.1", and gets what is loaded under that name already.
  static void* const stub = dlopen(SAGITTA_LIBCUDA_STUB, RTLD_NOW | RTLD_GLOBAL);
  require(stub != nullptr, "{}: cannot be loaded", SAGITTA_LIBCUDA_STUB);
  return read_text_file(SAGITTA_SOURCE_DIR "/tests/h100.json");
}

}  // namespace sagitta::test

std::string sagitta::cuda::device_name(int) { return "played H100"; }

using sagitta::test::played_gpu;

extern "C" {

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  static int nothing = 0;
  *handle = reinterpret_cast<cudnnHandle_t>(&nothing);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnDestroy(cudnnHandle_t) { return CUDNN_STATUS_SUCCESS; }
cudnnStatus_t cudnnSetStream(cudnnHandle_t, cudaStream_t) { return CUDNN_STATUS_SUCCESS; }

// Where a handle stands for the GPU, its description takes over.
cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void* values) {
  using namespace sagitta::test;
  if (name == CUDNN_ATTR_OPERATIONGRAPH_HANDLE) return CUDNN_STATUS_SUCCESS;
  if (name == CUDNN_ATTR_EXECUTION_PLAN_HANDLE)
    return set_description(descriptor, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
  if (name == CUDNN_ATTR_ENGINEHEUR_MODE) set_description(descriptor, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);
  if (name == CUDNN_ATTR_ENGINE_GLOBAL_INDEX) set_description(descriptor, CUDNN_ATTR_ENGINE_DEVICEPROP);
  if (name == CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS) {
    const auto* uids = static_cast<const std::int64_t*>(values);
    packs()[descriptor].uids.assign(uids, uids + count);
  }
  if (name == CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS) {
    const auto* pointers = static_cast<void* const*>(values);
    packs()[descriptor].pointers.assign(pointers, pointers + count);
  }
  return real_set_attribute()(descriptor, name, type, count, values);
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack) {
  using namespace sagitta::test;
  PlayedGpu& gpu = played_gpu();
  const auto known = std::find(gpu.plans.begin(), gpu.plans.end(), plan) - gpu.plans.begin();
  const auto index = static_cast<std::size_t>(known);
  if (index == gpu.plans.size()) gpu.plans.push_back(plan);
  gpu.clock += index == gpu.fast_plan ? 1.0F : 2.0F;

  const Pack& bound = packs().at(pack);
  PlayedGpu::Execution& execution = gpu.executions.emplace_back();
  execution.plan = index;
  for (std::size_t i = 0; i < bound.uids.size(); ++i) execution.binding[bound.uids[i]] = bound.pointers.at(i);
  return CUDNN_STATUS_SUCCESS;
}

cudaError_t cudaGetDevice(int* index) {
  *index = 0;
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = played_gpu().capturing ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  *event = new CUevent_st;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  event->time = played_gpu().clock;
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float* time, cudaEvent_t begin, cudaEvent_t end) {
  *time = end->time - begin->time;
  return cudaSuccess;
}
const char* cudaGetErrorString(cudaError_t) { return "played error"; }
const char* cudaGetErrorName(cudaError_t) { return "played error"; }
}
