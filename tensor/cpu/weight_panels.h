// WeightPanels: what a product makes of a weight before it starts. It is scratch for one call, or kept beside
// the weight while that is constant (nn/constant_parameters.h).
#pragma once
#include <cstdint>
#include <optional>

#include "tensor/cpu/allocator.h"
#include "tensor/tensor.h"

namespace sagitta::cpu {

// What is made of a weight. The extents do not tell a pass back from one forward, so that only the latter's
// forms may be kept.
enum class WeightForm { panels, winograd2, winograd4 };

template <class T>
class WeightPanels {
 public:
  // make(T* to) writes `count` elements. `weight`: null if there is nothing constant behind them.
  template <class Make>
  WeightPanels(CachingAllocator& allocator, const Tensor* weight, WeightForm form, std::int64_t depth,
               std::int64_t columns, std::int64_t count, const Make& make) {
    KeptForms* const kept = weight != nullptr ? weight->kept_forms() : nullptr;
    if (kept == nullptr) {
      scratch_.emplace(allocator, count);
      make(scratch_->data());
      data_ = scratch_->data();
      return;
    }
    data_ = reinterpret_cast<const T*>(kept->get(
        weight->backend(), {weight->raw(), static_cast<int>(form), depth, columns},
        static_cast<std::size_t>(count) * sizeof(T), [&](std::byte* to) { make(reinterpret_cast<T*>(to)); }));
  }
  const T* data() const { return data_; }

 private:
  std::optional<Scratch<T>> scratch_;
  const T* data_;
};

}  // namespace sagitta::cpu
