// From tensors to what a kernel is given: packs or single elements, a Target of the contract, a tensor that
// may be absent.
#pragma once
#include "cuda/pack.cuh"
#include "tensor/backend.h"

namespace sagitta::cuda {

// The elements, or null for an empty tensor.
template <class T>
T* data_or_null(const Tensor& tensor) {
  return tensor ? tensor.data<T>() : nullptr;
}

// Calls run.operator()<n>() with n elements per pack: 16 bytes of T where `columns` and `is_aligned` (see
// aligned) allow it, else 1.
template <class T, class Run>
void with_packs(std::int64_t columns, bool is_aligned, const Run& run) {
  if (is_aligned && columns % kPackSize<T> == 0)
    run.template operator()<kPackSize<T>>();
  else
    run.template operator()<1>();
}

// Where a result goes; `data` is null when it is not wanted.
template <class T>
struct Destination {
  T* data = nullptr;
  bool accumulate = false;

  Destination() = default;
  explicit Destination(const Target& target)
      : data(data_or_null<T>(target.dst)), accumulate(target.accumulate) {}

  // Adds to, or overwrites, kSize neighboring elements from `index` on. data must not be null.
  template <int kSize>
  __device__ void put(std::int64_t index, float (&values)[kSize]) const {
    store_target<kSize>(data + index, values, accumulate);
  }
  __device__ void put(std::int64_t index, float value) const {
    float values[1] = {value};
    put(index, values);
  }
};

}  // namespace sagitta::cuda
