#include "tensor/shape.h"

#include <algorithm>

#include "tensor/error.h"

namespace sagitta {

Shape::Shape(std::span<const std::int64_t> extents) : rank_(static_cast<int>(extents.size())) {
  require(rank_ <= kMaxRank, "shape: {} axes, expected at most {}", extents.size(), kMaxRank);
  std::copy(extents.begin(), extents.end(), extents_.begin());
  for (std::int64_t extent : extents)
    require(extent >= 0, "shape: extent {} in {} is negative", extent, *this);
}

std::int64_t Shape::operator[](int axis) const {
  const int index = axis < 0 ? axis + rank_ : axis;
  require(index >= 0 && index < rank_, "shape: axis {} does not exist in {}", axis, *this);
  return extents_[static_cast<std::size_t>(index)];
}

std::int64_t Shape::numel() const {
  std::int64_t product = 1;
  for (std::int64_t extent : extents())
    require(!__builtin_mul_overflow(product, extent, &product), "shape: {} has too many elements", *this);
  return product;
}

Shape Shape::with(int axis, std::int64_t extent) const {
  (void)(*this)[axis];  // throws on an axis that does not exist
  Shape copy = *this;
  copy.extents_[static_cast<std::size_t>(axis < 0 ? axis + rank_ : axis)] = extent;
  return copy;
}

std::string Shape::str() const { return fmt::format("[{}]", fmt::join(extents(), ", ")); }

}  // namespace sagitta
