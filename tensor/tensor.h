// Tensor: a value handle on dense, row-major memory; copying it shares the storage.
// Invariant: always dense and row-major with channels last. There are no strides: reshape and slices of the
// leading axis are views, everything else is an op of the Backend that writes a new tensor. Images are
// [N,H,W,C], convolution weights [O,KH,KW,I], tokens [B,T,D]. Tensors have no op functions: the Backend is
// the only tensor API.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/shape.h"
#include "tensor/storage.h"

namespace sagitta {

class Backend;

class Tensor {
 public:
  Tensor() = default;  // empty: no storage, false as a condition
  // Uninitialized memory for `shape` elements.
  Tensor(Backend& backend, const Shape& shape, DType dtype);
  // On memory lent by `owner`; aligned for the dtype, and writable.
  Tensor(Backend& backend, const Shape& shape, DType dtype, std::byte* memory,
         std::shared_ptr<const void> owner);

  explicit operator bool() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  std::int64_t numel() const { return shape_.numel(); }
  std::size_t bytes() const { return static_cast<std::size_t>(numel()) * size_of(dtype_); }
  Backend& backend() const;  // throws on an empty tensor

  // The elements as T; throws when T is not the dtype. For kernels: on a GPU the pointer is not host memory.
  template <class T>
  T* data() const {
    check_dtype(dtype_of<T>);
    return reinterpret_cast<T*>(raw());
  }
  std::byte* raw() const { return storage_->data() + offset_; }

  // The same elements under another shape of equal numel; a view.
  Tensor reshape(const Shape& shape) const;
  // Rows [begin, end) of the leading axis; a view.
  Tensor slice(std::int64_t begin, std::int64_t end) const;
  // Uninitialized memory of the same backend, shape and dtype.
  Tensor like() const { return Tensor(backend(), shape_, dtype_); }

  // From here to the end nobody changes the storage, so that the backend may keep what it makes of it.
  void begin_constant() const { storage_->begin_constant(); }
  void end_constant() const { storage_->end_constant(); }
  // Where it does; null while the elements may change.
  KeptForms* kept_forms() const { return storage_->kept_forms(); }

  // True when no other handle shares the storage, so that writing in place surprises nobody.
  bool unique() const { return storage_.use_count() == 1; }
  // True when both handles show the same memory.
  bool same_memory(const Tensor& other) const {
    return storage_ == other.storage_ && offset_ == other.offset_;
  }

 private:
  void check_dtype(DType expected) const;

  std::shared_ptr<Storage> storage_;
  std::size_t offset_ = 0;  // bytes
  Shape shape_;
  DType dtype_ = DType::f32;
};

// What a tensor looks like, without keeping its storage alive.
struct Spec {
  Spec() = default;
  explicit Spec(const Tensor& tensor)
      : backend(&tensor.backend()), shape(tensor.shape()), dtype(tensor.dtype()) {}
  Tensor empty() const { return Tensor(*backend, shape, dtype); }  // uninitialized

  Backend* backend = nullptr;
  Shape shape;
  DType dtype = DType::f32;
};

// Host values -> tensor. `values.size()` must be shape.numel().
template <class T>
Tensor from_host(Backend& backend, const Shape& shape, std::span<const T> values);
template <class T>
Tensor from_host(Backend& backend, const Shape& shape, const std::vector<T>& values) {
  return from_host(backend, shape, std::span<const T>(values));
}
// Tensor -> host values; waits for the backend. T must be the dtype.
template <class T>
std::vector<T> to_host(const Tensor& tensor);
// The value of a one-element f32 or f64 tensor; waits for the backend.
double scalar_of(const Tensor& tensor);
// A tensor with every element `value`.
Tensor full(Backend& backend, const Shape& shape, DType dtype, double value);
inline Tensor zeros(Backend& backend, const Shape& shape, DType dtype) {
  return full(backend, shape, dtype, 0);
}

}  // namespace sagitta
