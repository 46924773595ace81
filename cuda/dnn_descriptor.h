// Descriptor: one object of cuDNN's graph API - a tensor, an operation, an engine, a plan.
// The whole API is this: create a descriptor, set attributes, finalize it, read attributes back. Everything
// that dnn.h does is spelled with these four calls. Invariant: a value is always passed with the attribute
// type that belongs to its C++ type, so the two cannot disagree.
#pragma once
#include <cudnn.h>

#include <cstdint>
#include <initializer_list>
#include <source_location>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace sagitta::cuda {

// Throws Error with the status, cuDNN's own explanation and the place of the call.
void check(cudnnStatus_t status, std::source_location where = std::source_location::current());

// The attribute type of a C++ type; only types with a specialization can be attributes.
template <class T>
struct AttributeTypeOf;
template <cudnnBackendAttributeType_t type>
struct AttributeTypeIs {
  static constexpr cudnnBackendAttributeType_t value = type;
};
template <>
struct AttributeTypeOf<std::int64_t> : AttributeTypeIs<CUDNN_TYPE_INT64> {};
template <>
struct AttributeTypeOf<float> : AttributeTypeIs<CUDNN_TYPE_FLOAT> {};
template <>
struct AttributeTypeOf<bool> : AttributeTypeIs<CUDNN_TYPE_BOOLEAN> {};
template <>
struct AttributeTypeOf<char> : AttributeTypeIs<CUDNN_TYPE_CHAR> {};
template <>
struct AttributeTypeOf<cudnnHandle_t> : AttributeTypeIs<CUDNN_TYPE_HANDLE> {};
template <>
struct AttributeTypeOf<cudnnDataType_t> : AttributeTypeIs<CUDNN_TYPE_DATA_TYPE> {};
template <>
struct AttributeTypeOf<cudnnConvolutionMode_t> : AttributeTypeIs<CUDNN_TYPE_CONVOLUTION_MODE> {};
template <>
struct AttributeTypeOf<cudnnPointwiseMode_t> : AttributeTypeIs<CUDNN_TYPE_POINTWISE_MODE> {};
template <>
struct AttributeTypeOf<cudnnReduceTensorOp_t> : AttributeTypeIs<CUDNN_TYPE_REDUCTION_OPERATOR_TYPE> {};
template <>
struct AttributeTypeOf<cudnnBackendHeurMode_t> : AttributeTypeIs<CUDNN_TYPE_HEUR_MODE> {};
template <>
struct AttributeTypeOf<cudnnBackendNumericalNote_t> : AttributeTypeIs<CUDNN_TYPE_NUMERICAL_NOTE> {};
template <>
struct AttributeTypeOf<cudnnBackendBehaviorNote_t> : AttributeTypeIs<CUDNN_TYPE_BEHAVIOR_NOTE> {};
template <>
struct AttributeTypeOf<cudnnBackendKnobType_t> : AttributeTypeIs<CUDNN_TYPE_KNOB_TYPE> {};

class Descriptor {
 public:
  using Name = cudnnBackendAttributeName_t;

  explicit Descriptor(cudnnBackendDescriptorType_t type);
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }

  cudnnBackendDescriptor_t raw() const { return descriptor_; }

  // Setters return the descriptor, so that one can be written down as a list of its attributes. They throw
  // Error on a value that cuDNN refuses.
  template <class T>
  Descriptor& set(Name name, const T& value) {
    return set_raw(name, AttributeTypeOf<T>::value, 1, &value);
  }
  Descriptor& set(Name name, const Descriptor& value) {
    return set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.descriptor_);
  }
  template <class T>
  Descriptor& set_list(Name name, std::span<const T> values) {
    return set_raw(name, AttributeTypeOf<T>::value, static_cast<std::int64_t>(values.size()), values.data());
  }
  Descriptor& set_list(Name name, std::initializer_list<std::int64_t> values) {
    return set_list(name, std::span<const std::int64_t>(values.begin(), values.size()));
  }
  // cuDNN's type for a descriptor is void* too, hence the names.
  Descriptor& set_descriptors(Name name, std::span<const cudnnBackendDescriptor_t> values) {
    return set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<std::int64_t>(values.size()),
                   values.data());
  }
  Descriptor& set_pointers(Name name, std::span<void* const> values) {
    return set_raw(name, CUDNN_TYPE_VOID_PTR, static_cast<std::int64_t>(values.size()), values.data());
  }
  // After this the attributes are fixed. Throws Error when they make no sense together.
  Descriptor& finalize(std::source_location where = std::source_location::current());
  // The same without the exception: for choices of cuDNN that may turn out impossible.
  cudnnStatus_t try_finalize() { return cudnnBackendFinalize(descriptor_); }

  // One value of a finalized descriptor.
  template <class T>
  T get(Name name) const {
    T value{};
    std::int64_t count = 0;
    check(cudnnBackendGetAttribute(descriptor_, name, AttributeTypeOf<T>::value, 1, &count, &value));
    return value;
  }
  // All values of a finalized descriptor.
  template <class T>
  std::vector<T> get_list(Name name) const {
    std::vector<T> values(count_of(name, AttributeTypeOf<T>::value));
    std::int64_t count = 0;
    if (!values.empty())
      check(cudnnBackendGetAttribute(descriptor_, name, AttributeTypeOf<T>::value,
                                     static_cast<std::int64_t>(values.size()), &count, values.data()));
    values.resize(static_cast<std::size_t>(count));
    return values;
  }
  // The descriptors of `type` that an attribute refers to, `at_most` so many: what cuDNN says about their
  // number beforehand is too much for some attributes, and nothing for others.
  std::vector<Descriptor> get_descriptors(Name name, cudnnBackendDescriptorType_t type, int at_most) const;

 private:
  Descriptor& set_raw(Name name, cudnnBackendAttributeType_t type, std::int64_t count, const void* values);
  std::size_t count_of(Name name, cudnnBackendAttributeType_t type) const;

  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

}  // namespace sagitta::cuda
