// Max pooling and global average pooling of images [N,H,W,C]. Bound by memory: neighboring threads have
// neighboring packs of channels, and a pixel that several windows share is in the L1 or L2 cache when it is
// read again.
#include "cuda/column_tiles.cuh"
#include "cuda/cuda_backend.h"
#include "cuda/launch.h"
#include "cuda/target.cuh"

namespace sagitta::cuda {
namespace {

constexpr int kThreads = 256;

struct Extents {
  int images, height, width, channels;

  explicit Extents(const Shape& shape)
      : images(static_cast<int>(shape[0])),
        height(static_cast<int>(shape[1])),
        width(static_cast<int>(shape[2])),
        channels(static_cast<int>(shape[3])) {}
  __device__ std::int64_t row_begin(int row) const { return std::int64_t{row} * width * channels; }
};

// Blocks for kernels whose threads lie along a row of pixels, in packs of channels, and whose blockIdx.y
// counts rows of all images (again and again, where there are more than a grid can have).
dim3 row_grid(const Extents& extents, int pack) {
  const std::int64_t packs = std::int64_t{extents.width} * extents.channels / pack;
  return {static_cast<unsigned>(ceil_div(packs, kThreads)),
          static_cast<unsigned>(std::min(std::int64_t{extents.images} * extents.height, std::int64_t{65535})),
          1};
}

// kSize neighboring i32, moved 16 bytes at a time.
template <int kSize>
using Indices = Pack<std::int32_t, kSize>;

template <int kSize>
__device__ inline Indices<kSize> load_indices(const std::int32_t* source) {
  constexpr int kPart = kSize < 4 ? kSize : 4;
  Indices<kSize> indices;
#pragma unroll
  for (int i = 0; i < kSize; i += kPart) {
    const Pack<std::int32_t, kPart> part = load_pack<kPart>(source + i);
#pragma unroll
    for (int j = 0; j < kPart; ++j) indices.value[i + j] = part.value[j];
  }
  return indices;
}

template <int kSize>
__device__ inline void store_indices(std::int32_t* destination, const Indices<kSize>& indices) {
  constexpr int kPart = kSize < 4 ? kSize : 4;
#pragma unroll
  for (int i = 0; i < kSize; i += kPart) {
    Pack<std::int32_t, kPart> part;
#pragma unroll
    for (int j = 0; j < kPart; ++j) part.value[j] = indices.value[i + j];
    *reinterpret_cast<Pack<std::int32_t, kPart>*>(destination + i) = part;
  }
}

// One thread per output pixel and pack of channels. Per output element of a 3x3 window with stride 2: reads 4
// input elements, writes one and its index of 4 bytes.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    max_windows(Extents in, Extents out, PoolParams params, const T* x, T* y, std::int32_t* indices) {
  const int first = static_cast<int>(blockIdx.x * kThreads + threadIdx.x) * kSize;
  if (first >= out.width * out.channels) return;
  const int column = first / out.channels, channel = first % out.channels;
  const int left = column * params.stride - params.padding;
  const int begin_w = max(0, left), end_w = min(in.width, left + params.kernel);
  for (int row = static_cast<int>(blockIdx.y); row < out.images * out.height;
       row += static_cast<int>(gridDim.y)) {
    const int image = row / out.height, top = row % out.height * params.stride - params.padding;
    const int begin_h = max(0, top), end_h = min(in.height, top + params.kernel);
    float best[kSize] = {};
    Indices<kSize> winner = {};
    for (int h = begin_h; h < end_h; ++h) {
      const T* const pixels = x + in.row_begin(image * in.height + h) + channel;
#pragma unroll 3
      for (int w = begin_w; w < end_w; ++w) {
        float values[kSize];
        load_floats<kSize>(pixels + w * in.channels, values);
#pragma unroll
        for (int i = 0; i < kSize; ++i) {
          const bool is_first = h == begin_h && w == begin_w;
          const bool better = values[i] > best[i] || (values[i] != values[i] && best[i] == best[i]);
          if (is_first || better) {
            best[i] = values[i];
            winner.value[i] = h * in.width + w;
          }
        }
      }
    }
    store_floats<kSize>(y + out.row_begin(row) + first, best);
    store_indices<kSize>(indices + out.row_begin(row) + first, winner);
  }
}

// The outputs along one axis whose windows hold the input position `at`.
struct Windows {
  int first, last;

  __device__ Windows(int at, const PoolParams& params, int outputs) {
    const int padded = at + params.padding;
    first = padded < params.kernel ? 0 : (padded - params.kernel) / params.stride + 1;
    last = min(outputs - 1, padded / params.stride);
  }
};

// One thread per input pixel and pack of channels collects from the outputs that it may have won: no atomics,
// and every element of dx is written once. Per input element of a 3x3 window with stride 2: reads 1/4
// gradient and 1/4 index of 4 bytes from memory (9/4 from the caches), writes one element.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads, 4)
    collect(Extents in, Extents out, PoolParams params, const std::int32_t* indices, const T* dy,
            Destination<T> dx) {
  const int first = static_cast<int>(blockIdx.x * kThreads + threadIdx.x) * kSize;
  if (first >= in.width * in.channels) return;
  const int w = first / in.channels, channel = first % in.channels;
  const Windows columns(w, params, out.width);
  for (int row = static_cast<int>(blockIdx.y); row < in.images * in.height;
       row += static_cast<int>(gridDim.y)) {
    const int image = row / in.height, h = row % in.height, pixel = h * in.width + w;
    const Windows rows(h, params, out.height);
    float sum[kSize] = {};
    for (int out_row = rows.first; out_row <= rows.last; ++out_row) {
      const std::int64_t begin = out.row_begin(image * out.height + out_row) + channel;
#pragma unroll 2
      for (int column = columns.first; column <= columns.last; ++column) {
        const std::int64_t index = begin + column * out.channels;
        const Indices<kSize> winner = load_indices<kSize>(indices + index);
        float gradient[kSize];
        load_floats<kSize>(dy + index, gradient);
#pragma unroll
        for (int i = 0; i < kSize; ++i) sum[i] += winner.value[i] == pixel ? gradient[i] : 0.0F;
      }
    }
    dx.put(in.row_begin(row) + first, sum);
  }
}

constexpr int kAverageWidth = 32;  // packs of channels that a block averages

// One block per image and 32 packs of channels; its 8 rows of threads take turns over the pixels. Reads one
// element per element.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    average_pixels(std::int64_t pixels, std::int64_t channels, int blocks_per_image, const T* x, T* y) {
  const std::int64_t image = blockIdx.x / blocks_per_image;
  const std::int64_t pack = blockIdx.x % blocks_per_image * kAverageWidth + threadIdx.x % kAverageWidth;
  const std::int64_t channel = pack * kSize;
  float sum[kSize] = {};
  if (channel < channels)
#pragma unroll 4
    for (std::int64_t p = threadIdx.x / kAverageWidth; p < pixels; p += kThreads / kAverageWidth) {
      float values[kSize];
      load_floats<kSize>(x + (image * pixels + p) * channels + channel, values);
      AddValues{}(sum, values);
    }
  join_rows<kThreads>(kAverageWidth, sum, AddValues{});
  if (threadIdx.x >= kAverageWidth || channel >= channels) return;
  const float factor = 1.0F / static_cast<float>(pixels);
#pragma unroll
  for (int i = 0; i < kSize; ++i) sum[i] *= factor;
  store_floats<kSize>(y + image * channels + channel, sum);
}

// Every pixel of an image receives 1 / pixels of the image's gradient. One thread per pack of dx, rows as in
// max_windows; writes one element per element.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    spread_average(Extents in, float factor, const T* dy, Destination<T> dx) {
  const int first = static_cast<int>(blockIdx.x * kThreads + threadIdx.x) * kSize;
  if (first >= in.width * in.channels) return;
  const int channel = first % in.channels;
  for (int row = static_cast<int>(blockIdx.y); row < in.images * in.height;
       row += static_cast<int>(gridDim.y)) {
    float values[kSize];
    load_floats<kSize>(dy + std::int64_t{row / in.height} * in.channels + channel, values);
#pragma unroll
    for (int i = 0; i < kSize; ++i) values[i] *= factor;
    dx.put(in.row_begin(row) + first, values);
  }
}

}  // namespace

void CudaBackend::max_pool(const PoolParams& params, const Tensor& x, Tensor& y, Tensor& indices) {
  const Extents in(x.shape()), out(y.shape());
  dispatch_dtype(x.dtype(), [&]<class T>(TypeTag<T>) {
    with_packs<T>(in.channels, aligned(x.raw(), y.raw(), indices.raw()), [&]<int kSize>() {
      launch(max_windows<T, kSize>, row_grid(out, kSize), kThreads, 0, stream(), in, out, params, x.data<T>(),
             y.data<T>(), indices.data<std::int32_t>());
    });
  });
}

void CudaBackend::max_pool_backward(const PoolParams& params, const Tensor& indices, const Tensor& dy,
                                    const Target& dx) {
  if (!dx) return;
  const Extents in(dx.dst.shape()), out(dy.shape());
  dispatch_dtype(dy.dtype(), [&]<class T>(TypeTag<T>) {
    with_packs<T>(in.channels, aligned(indices.raw(), dy.raw(), dx.dst.raw()), [&]<int kSize>() {
      launch(collect<T, kSize>, row_grid(in, kSize), kThreads, 0, stream(), in, out, params,
             indices.data<std::int32_t>(), dy.data<T>(), Destination<T>(dx));
    });
  });
}

void CudaBackend::global_avg_pool(const Tensor& x, Tensor& y) {
  const std::int64_t pixels = x.shape()[1] * x.shape()[2], channels = x.shape()[3];
  dispatch_dtype(x.dtype(), [&]<class T>(TypeTag<T>) {
    with_packs<T>(channels, aligned(x.raw(), y.raw()), [&]<int kSize>() {
      const std::int64_t per_image = ceil_div(channels, kAverageWidth * kSize);
      launch(average_pixels<T, kSize>, static_cast<unsigned>(x.shape()[0] * per_image), kThreads, 0, stream(),
             pixels, channels, per_image, x.data<T>(), y.data<T>());
    });
  });
}

void CudaBackend::global_avg_pool_backward(const Tensor& dy, const Target& dx) {
  if (!dx) return;
  const Extents in(dx.dst.shape());
  const float factor = 1.0F / (static_cast<float>(in.height) * static_cast<float>(in.width));
  dispatch_dtype(dy.dtype(), [&]<class T>(TypeTag<T>) {
    with_packs<T>(in.channels, aligned(dy.raw(), dx.dst.raw()), [&]<int kSize>() {
      launch(spread_average<T, kSize>, row_grid(in, kSize), kThreads, 0, stream(), in, factor, dy.data<T>(),
             Destination<T>(dx));
    });
  });
}

}  // namespace sagitta::cuda
