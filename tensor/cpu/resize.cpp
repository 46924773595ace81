// Bicubic resizing of [H,W,C] (Keys, "Cubic convolution interpolation", 1981, with a = -0.75), as torch's
// interpolate with align_corners = false and no antialias: used to fit position embeddings to another image
// size, once per forward pass at most: not optimized beyond that.
#include <array>
#include <cmath>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/dispatch.h"
#include "tensor/cpu/parallel.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

namespace {

constexpr std::int64_t kChannelBlock = 64;

// The four source positions of one destination position, clamped to the border, and their weights.
struct Taps {
  std::array<std::int64_t, 4> index;
  std::array<double, 4> weight;

  Taps(std::int64_t position, std::int64_t from_extent, std::int64_t to_extent) {
    const double scale = static_cast<double>(from_extent) / static_cast<double>(to_extent);
    const double source = (static_cast<double>(position) + 0.5) * scale - 0.5;
    const double base = std::floor(source), t = source - base;
    constexpr double a = -0.75;
    const auto near = [](double d) { return ((a + 2) * d - (a + 3)) * d * d + 1; };  // distance <= 1
    const auto far = [](double d) {
      return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
    };  // distance in [1, 2]
    weight = {far(t + 1), near(t), near(1 - t), far(2 - t)};
    for (std::size_t i = 0; i < 4; ++i)
      index[i] = std::clamp<std::int64_t>(static_cast<std::int64_t>(base) - 1 + static_cast<std::int64_t>(i),
                                          0, from_extent - 1);
  }
};

// Calls body(small offset, large offset, weight, first channel, last channel) for all pairs of a source pixel
// of `from` and a destination pixel of `to` that interpolation connects, in a fixed order per channel block.
template <class Body>
void for_each_pair(const Shape& from, const Shape& to, const Body& body) {
  parallel_chunks(to[2], kChannelBlock, [&](std::int64_t, std::int64_t first, std::int64_t last) {
    for (std::int64_t h = 0; h < to[0]; ++h) {
      const Taps rows(h, from[0], to[0]);
      for (std::int64_t w = 0; w < to[1]; ++w) {
        const Taps columns(w, from[1], to[1]);
        for (std::size_t i = 0; i < 4; ++i)
          for (std::size_t j = 0; j < 4; ++j)
            body((rows.index[i] * from[1] + columns.index[j]) * from[2], (h * to[1] + w) * to[2],
                 rows.weight[i] * columns.weight[j], first, last);
      }
    }
  });
}

}  // namespace

void CpuBackend::resize_bicubic(const Tensor& x, Tensor& y) {
  fill(y, 0);
  dispatch_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    for_each_pair(x.shape(), y.shape(),
                  [in = x.data<T>(), out = y.data<T>()](std::int64_t from, std::int64_t to, double weight,
                                                        std::int64_t first, std::int64_t last) {
                    for (std::int64_t c = first; c < last; ++c)
                      out[to + c] += static_cast<T>(weight) * in[from + c];
                  });
  });
}

void CpuBackend::resize_bicubic_backward(const Tensor& dy, const Target& dx) {
  if (!dx) return;
  Tensor target = dx.dst;
  if (!dx.accumulate) fill(target, 0);
  dispatch_floating(dy.dtype(), [&]<class T>(TypeTag<T>) {
    for_each_pair(
        target.shape(), dy.shape(),
        [in = dy.data<T>(), out = target.data<T>()](std::int64_t from, std::int64_t to, double weight,
                                                    std::int64_t first, std::int64_t last) {
          for (std::int64_t c = first; c < last; ++c) out[from + c] += static_cast<T>(weight) * in[to + c];
        });
  });
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
