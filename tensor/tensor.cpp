#include "tensor/tensor.h"

#include <mutex>

#include "tensor/backend.h"
#include "tensor/error.h"

namespace sagitta {

Storage::Storage(Backend& backend, std::size_t bytes)
    : backend_(backend), bytes_(bytes), data_(static_cast<std::byte*>(backend.allocate(bytes))) {}

Storage::Storage(Backend& backend, std::byte* data, std::size_t bytes, std::shared_ptr<const void> owner)
    : backend_(backend), bytes_(bytes), data_(data), owner_(std::move(owner)) {}

Storage::~Storage() {
  if (!owner_) backend_.release(data_, bytes_);
}

namespace {

std::mutex constant_mutex;  // of all storages: promises are rare

}  // namespace

void Storage::begin_constant() {
  const std::lock_guard lock(constant_mutex);
  if (constant_++ == 0) kept_ = std::make_unique<KeptForms>();
}

void Storage::end_constant() {
  const std::lock_guard lock(constant_mutex);
  if (--constant_ == 0) kept_.reset();
}

Tensor::Tensor(Backend& backend, const Shape& shape, DType dtype)
    : storage_(std::make_shared<Storage>(backend, static_cast<std::size_t>(shape.numel()) * size_of(dtype))),
      shape_(shape),
      dtype_(dtype) {}

Tensor::Tensor(Backend& backend, const Shape& shape, DType dtype, std::byte* memory,
               std::shared_ptr<const void> owner)
    : storage_(std::make_shared<Storage>(
          backend, memory, static_cast<std::size_t>(shape.numel()) * size_of(dtype), std::move(owner))),
      shape_(shape),
      dtype_(dtype) {}

Backend& Tensor::backend() const {
  require(storage_ != nullptr, "tensor: the handle is empty");
  return storage_->backend();
}

void Tensor::check_dtype(DType expected) const {
  require(storage_ != nullptr, "tensor: the handle is empty");
  require(dtype_ == expected, "tensor: dtype is {}, expected {}", name_of(dtype_), name_of(expected));
}

Tensor Tensor::reshape(const Shape& shape) const {
  require(shape.numel() == numel(), "reshape: {} has {} elements, {} has {}", shape, shape.numel(), shape_,
          numel());
  Tensor view = *this;
  view.shape_ = shape;
  return view;
}

Tensor Tensor::slice(std::int64_t begin, std::int64_t end) const {
  const std::int64_t rows = shape_[0];
  require(0 <= begin && begin <= end && end <= rows, "slice: rows [{}, {}) of a tensor {}", begin, end,
          shape_);
  Tensor view = *this;
  view.shape_ = shape_.with(0, end - begin);
  if (begin > 0) view.offset_ += bytes() / static_cast<std::size_t>(rows) * static_cast<std::size_t>(begin);
  return view;
}

template <class T>
Tensor from_host(Backend& backend, const Shape& shape, std::span<const T> values) {
  require(static_cast<std::int64_t>(values.size()) == shape.numel(), "from_host: {} values for shape {}",
          values.size(), shape);
  Tensor tensor(backend, shape, dtype_of<T>);
  backend.write(values.data(), tensor);
  return tensor;
}

template <class T>
std::vector<T> to_host(const Tensor& tensor) {
  (void)tensor.data<T>();  // checks the dtype
  std::vector<T> values(static_cast<std::size_t>(tensor.numel()));
  tensor.backend().read(tensor, values.data());
  return values;
}

template Tensor from_host(Backend&, const Shape&, std::span<const float>);
template Tensor from_host(Backend&, const Shape&, std::span<const double>);
template Tensor from_host(Backend&, const Shape&, std::span<const std::int32_t>);
template Tensor from_host(Backend&, const Shape&, std::span<const std::int64_t>);
template Tensor from_host(Backend&, const Shape&, std::span<const std::uint8_t>);
template std::vector<float> to_host(const Tensor&);
template std::vector<double> to_host(const Tensor&);
template std::vector<std::int32_t> to_host(const Tensor&);
template std::vector<std::int64_t> to_host(const Tensor&);
template std::vector<std::uint8_t> to_host(const Tensor&);

double scalar_of(const Tensor& tensor) {
  require(tensor.numel() == 1, "scalar_of: shape is {}, expected one element", tensor.shape());
  if (tensor.dtype() == DType::f64) return to_host<double>(tensor)[0];
  return to_host<float>(tensor)[0];
}

Tensor full(Backend& backend, const Shape& shape, DType dtype, double value) {
  Tensor tensor(backend, shape, dtype);
  backend.fill(tensor, value);
  return tensor;
}

}  // namespace sagitta
