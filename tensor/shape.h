// The extents of a tensor, stored inline.
// Invariant: at most kMaxRank axes, each >= 0; tensors are dense and row-major, so a shape is all there is to
// know about their layout.
#pragma once
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace sagitta {

class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;  // rank 0: a scalar, one element
  Shape(std::initializer_list<std::int64_t> extents)
      : Shape(std::span<const std::int64_t>(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const std::int64_t> extents);

  int rank() const { return rank_; }
  // Extent of `axis`; a negative axis counts from the end. Throws on an axis that does not exist.
  std::int64_t operator[](int axis) const;
  std::int64_t back() const { return (*this)[-1]; }
  std::int64_t numel() const;
  // Product of all extents but the last: the number of rows when the tensor is seen as a matrix.
  std::int64_t rows() const { return rank_ == 0 || back() == 0 ? 1 : numel() / back(); }
  Shape with(int axis, std::int64_t extent) const;  // a copy with one extent replaced
  std::span<const std::int64_t> extents() const { return {extents_.data(), static_cast<std::size_t>(rank_)}; }
  std::string str() const;  // "[2, 3]"
  bool operator==(const Shape&) const = default;

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

}  // namespace sagitta

// Shapes stand in messages as they are: fmt::format("x is {}", x.shape()).
template <>
struct fmt::formatter<sagitta::Shape> : fmt::formatter<std::string_view> {
  auto format(const sagitta::Shape& shape, format_context& context) const {
    return formatter<std::string_view>::format(shape.str(), context);
  }
};
