// Pictures to network input: window, mirror, normalization and rounding in one pass over the output.
#include <algorithm>

#include "cuda/cuda_backend.h"
#include "cuda/launch.h"
#include "cuda/pack.cuh"

namespace sagitta::cuda {

namespace {

constexpr int kThreads = 256;

// (pixel / 255 - mean) / std as one multiplication and addition per channel.
struct Normalization {
  float factor[4];
  float offset[4];
};

struct Extents {
  int rows, columns;  // of a source picture
  int height, width;  // of its window, the output
  int channels;
};

// Channel c of the constants without indexing them at run time, which would put them in local memory.
__device__ inline float channel(const float (&values)[4], int c) {
  return c == 0 ? values[0] : c == 1 ? values[1] : c == 2 ? values[2] : values[3];
}

// One thread per pack of 16 bytes of y; blockIdx.y runs over the images. Three divisions find the pack's
// first pixel, from there it counts. Moves 1 byte in and sizeof(T) out per element; the single-byte loads of
// neighboring threads hit the same cache lines.
template <class T>
__global__ void __launch_bounds__(kThreads)
    normalize_kernel(Normalization normalization, Extents extents, const std::uint8_t* pixels,
                     const std::int32_t* crop, T* y, int images, bool packed) {
  constexpr int kSize = kPackSize<T>;
  const int row_elements = extents.width * extents.channels, elements = extents.height * row_elements;
  const std::int64_t at = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * kSize;
  if (at >= elements) return;
  const int first = static_cast<int>(at), first_row = first / row_elements;
  const int first_column = first % row_elements / extents.channels;
  for (int image = static_cast<int>(blockIdx.y); image < images; image += static_cast<int>(gridDim.y)) {
    const std::uint8_t* picture =
        pixels + std::int64_t{image} * extents.rows * extents.columns * extents.channels;
    // Unsigned, so that one comparison finds what lies before or behind the picture.
    const auto top = static_cast<unsigned>(crop[3 * image]),
               left = static_cast<unsigned>(crop[3 * image + 1]);
    const bool mirrored = crop[3 * image + 2] != 0;
    int row = first_row, column = first_column, c = first % extents.channels;
    float values[kSize];
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      const unsigned source_row = top + static_cast<unsigned>(row);
      const unsigned source_column =
          left + static_cast<unsigned>(mirrored ? extents.width - 1 - column : column);
      const bool air = source_row >= static_cast<unsigned>(extents.rows) ||
                       source_column >= static_cast<unsigned>(extents.columns);
      const std::int64_t pixel = std::int64_t{source_row} * extents.columns + source_column;
      const float value = air ? 0.0F : static_cast<float>(picture[pixel * extents.channels + c]);
      values[i] = value * channel(normalization.factor, c) + channel(normalization.offset, c);
      if (++c < extents.channels) continue;
      c = 0;
      if (++column < extents.width) continue;
      column = 0;
      ++row;
    }
    store_floats(y + std::int64_t{image} * elements + at, elements - at, packed, values);
  }
}

}  // namespace

void CudaBackend::normalize_image(const ImageParams& params, const Tensor& pixels, const Tensor& crop,
                                  Tensor& y) {
  const Shape &in = pixels.shape(), &out = y.shape();
  const Extents extents{.rows = static_cast<int>(in[1]),
                        .columns = static_cast<int>(in[2]),
                        .height = static_cast<int>(out[1]),
                        .width = static_cast<int>(out[2]),
                        .channels = static_cast<int>(out[3])};
  Normalization normalization;
  for (int c = 0; c < 4; ++c) {
    const double std = static_cast<double>(params.std[c]);
    normalization.factor[c] = static_cast<float>(1 / (255 * std));
    normalization.offset[c] = static_cast<float>(-static_cast<double>(params.mean[c]) / std);
  }
  dispatch_dtype(y.dtype(), [&](auto type) {
    using T = typename decltype(type)::type;
    const std::int64_t elements = out[1] * out[2] * out[3];
    const dim3 grid(static_cast<unsigned>(ceil_div(elements, std::int64_t{kThreads} * kPackSize<T>)),
                    static_cast<unsigned>(std::min<std::int64_t>(out[0], 65535)));
    launch(normalize_kernel<T>, grid, kThreads, 0, stream(), normalization, extents,
           pixels.data<std::uint8_t>(), crop.data<std::int32_t>(), y.data<T>(), static_cast<int>(out[0]),
           packs_fit<T>(elements, y.raw()));
  });
}

}  // namespace sagitta::cuda
