// Max pooling and global average pooling, vectorized over the channels. Bound by memory bandwidth:
// 74 to 80 % of the triad's speed.
#include <limits>

#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/dispatch.h"
#include "tensor/cpu/parallel.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

namespace {

constexpr std::int64_t kChannelBlock = 64;  // channels that one task of a small batch handles

// Calls body(image, first_channel, last_channel) for every image and block of channels, concurrently.
template <class Body>
void for_channel_blocks(std::int64_t images, std::int64_t channels, const Body& body) {
  const std::int64_t blocks = ceil_div(channels, kChannelBlock);
  parallel_chunks(images * blocks, 1, [&](std::int64_t task, std::int64_t, std::int64_t) {
    const std::int64_t first = task % blocks * kChannelBlock;
    body(task / blocks, first, std::min(channels, first + kChannelBlock));
  });
}

}  // namespace

void CpuBackend::max_pool(const PoolParams& params, const Tensor& x, Tensor& y, Tensor& indices) {
  dispatch_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    const std::int64_t height = x.shape()[1], width = x.shape()[2], channels = x.shape()[3];
    const std::int64_t out_height = y.shape()[1], out_width = y.shape()[2];
    parallel_for(y.shape()[0] * out_height, out_width * channels * params.kernel, [&](std::int64_t out_row) {
      const T* image = x.data<T>() + out_row / out_height * height * width * channels;
      const std::int64_t top = out_row % out_height * params.stride - params.padding;
      for (std::int64_t out_column = 0; out_column < out_width; ++out_column) {
        const std::int64_t left = out_column * params.stride - params.padding;
        T* best = y.data<T>() + (out_row * out_width + out_column) * channels;
        std::int32_t* winner = indices.data<std::int32_t>() + (out_row * out_width + out_column) * channels;
        bool first = true;
        for (std::int64_t h = std::max<std::int64_t>(0, top); h < std::min(height, top + params.kernel); ++h)
          for (std::int64_t w = std::max<std::int64_t>(0, left); w < std::min(width, left + params.kernel);
               ++w) {
            const std::int32_t index = static_cast<std::int32_t>(h * width + w);
            const T* in = image + (h * width + w) * channels;
            if (first) {
              std::copy_n(in, channels, best);
              std::fill_n(winner, channels, index);
              first = false;
              continue;
            }
#pragma omp simd
            for (std::int64_t c = 0; c < channels; ++c) {
              const bool better = (in[c] > best[c]) | ((in[c] != in[c]) & (best[c] == best[c]));
              best[c] = better ? in[c] : best[c];
              winner[c] = better ? index : winner[c];
            }
          }
      }
    });
  });
}

void CpuBackend::max_pool_backward(const PoolParams&, const Tensor& indices, const Tensor& dy,
                                   const Target& dx) {
  if (!dx) return;
  dispatch_floating(dy.dtype(), [&]<class T>(TypeTag<T>) {
    const Shape& in = dx.dst.shape();
    const std::int64_t pixels = in[1] * in[2], channels = in[3];
    const std::int64_t out_pixels = dy.shape()[1] * dy.shape()[2];
    // Windows overlap, so one task owns all pixels of its channels.
    for_channel_blocks(in[0], channels, [&](std::int64_t image, std::int64_t first, std::int64_t last) {
      T* to = dx.dst.data<T>() + image * pixels * channels;
      if (!dx.accumulate)
        for (std::int64_t p = 0; p < pixels; ++p)
          std::fill(to + p * channels + first, to + p * channels + last, T(0));
      for (std::int64_t p = image * out_pixels; p < (image + 1) * out_pixels; ++p) {
        const T* gradient = dy.data<T>() + p * channels;
        const std::int32_t* winner = indices.data<std::int32_t>() + p * channels;
        for (std::int64_t c = first; c < last; ++c) to[winner[c] * channels + c] += gradient[c];
      }
    });
  });
}

void CpuBackend::global_avg_pool(const Tensor& x, Tensor& y) {
  dispatch_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    const std::int64_t pixels = x.shape()[1] * x.shape()[2], channels = x.shape()[3];
    for_channel_blocks(
        x.shape()[0], channels, [&](std::int64_t image, std::int64_t first, std::int64_t last) {
          const T* in = x.data<T>() + image * pixels * channels;
          double sums[kChannelBlock] = {};
          for (std::int64_t p = 0; p < pixels; ++p)
            for (std::int64_t c = first; c < last; ++c)
              sums[c - first] += static_cast<double>(in[p * channels + c]);
          for (std::int64_t c = first; c < last; ++c)
            y.data<T>()[image * channels + c] = static_cast<T>(sums[c - first] / static_cast<double>(pixels));
        });
  });
}

void CpuBackend::global_avg_pool_backward(const Tensor& dy, const Target& dx) {
  if (!dx) return;
  dispatch_floating(dy.dtype(), [&]<class T>(TypeTag<T>) {
    const Shape& in = dx.dst.shape();
    const std::int64_t pixels = in[1] * in[2], channels = in[3];
    const T factor = static_cast<T>(1.0 / static_cast<double>(pixels));
    parallel_for(in[0] * pixels, channels, [&](std::int64_t row) {
      const T* gradient = dy.data<T>() + row / pixels * channels;
      T* to = dx.dst.data<T>() + row * channels;
      for (std::int64_t c = 0; c < channels; ++c) put(to[c], dx.accumulate, gradient[c] * factor);
    });
  });
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
