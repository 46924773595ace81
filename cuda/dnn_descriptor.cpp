#include "cuda/dnn_descriptor.h"

#include <algorithm>
#include <array>

#include "tensor/error.h"

namespace sagitta::cuda {

void check(cudnnStatus_t status, std::source_location where) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 1024> explanation{};
  cudnnGetLastErrorString(explanation.data(), explanation.size());
  std::replace(explanation.begin(), explanation.end(), '\n', ' ');
  fail("cudnn: {} in {} at {}:{}: {}", cudnnGetErrorString(status), where.function_name(), where.file_name(),
       where.line(), explanation.data());
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  check(cudnnBackendCreateDescriptor(type, &descriptor_));
}

Descriptor::~Descriptor() {
  if (descriptor_) cudnnBackendDestroyDescriptor(descriptor_);
}

Descriptor& Descriptor::set_raw(Name name, cudnnBackendAttributeType_t type, std::int64_t count,
                                const void* values) {
  check(cudnnBackendSetAttribute(descriptor_, name, type, count, values));
  return *this;
}

Descriptor& Descriptor::finalize(std::source_location where) {
  check(try_finalize(), where);
  return *this;
}

std::size_t Descriptor::count_of(Name name, cudnnBackendAttributeType_t type) const {
  std::int64_t count = 0;
  check(cudnnBackendGetAttribute(descriptor_, name, type, 0, &count, nullptr));
  return static_cast<std::size_t>(count);
}

std::vector<Descriptor> Descriptor::get_descriptors(Name name, cudnnBackendDescriptorType_t type,
                                                    int at_most) const {
  std::vector<Descriptor> descriptors;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (int i = 0; i < at_most; ++i) raw.push_back(descriptors.emplace_back(type).raw());
  std::int64_t count = 0;
  check(cudnnBackendGetAttribute(descriptor_, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, at_most, &count,
                                 raw.data()));
  descriptors.erase(descriptors.begin() + count, descriptors.end());
  return descriptors;
}

}  // namespace sagitta::cuda
