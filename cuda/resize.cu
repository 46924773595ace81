// Bicubic resizing of [H,W,C] (Keys, "Cubic convolution interpolation", 1981, with a = -0.75): fits position
// embeddings to another image size, 24x24x768 at most in practice. So small that it is bound by latency;
// neighboring threads have neighboring channels, everything beyond that is kept simple.
#include "cuda/cuda_backend.h"
#include "cuda/launch.h"
#include "cuda/target.cuh"

namespace sagitta::cuda {
namespace {

constexpr int kThreads = 256;

// The four source positions of one destination position, clamped to the border, and their weights.
struct Taps {
  int index[4];
  double weight[4];

  __device__ Taps(int position, int from_extent, int to_extent) {
    const double scale = static_cast<double>(from_extent) / to_extent;
    const double source = (position + 0.5) * scale - 0.5;
    const double base = floor(source), t = source - base;
    weight[0] = far(t + 1);
    weight[1] = near(t);
    weight[2] = near(1 - t);
    weight[3] = far(2 - t);
    for (int i = 0; i < 4; ++i) index[i] = min(max(static_cast<int>(base) - 1 + i, 0), from_extent - 1);
  }

 private:
  static constexpr double a = -0.75;
  // Keys' kernel at a distance up to 1, and from 1 to 2.
  __device__ static double near(double d) { return ((a + 2) * d - (a + 3)) * d * d + 1; }
  __device__ static double far(double d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; }
};

struct Extents {
  int height, width, channels;
  explicit Extents(const Shape& shape)
      : height(static_cast<int>(shape[0])),
        width(static_cast<int>(shape[1])),
        channels(static_cast<int>(shape[2])) {}
};

// Threads along the channels of a pixel, one pixel per block row: blockIdx.x is the pixel h * width + w.
dim3 pixel_grid(const Extents& extents) {
  return {static_cast<unsigned>(extents.height * extents.width),
          static_cast<unsigned>(ceil_div(extents.channels, kThreads)), 1};
}

// One thread per element of y: 16 reads, from the caches mostly.
template <class T>
__global__ void __launch_bounds__(kThreads) interpolate(Extents in, Extents out, const T* x, T* y) {
  const int h = static_cast<int>(blockIdx.x) / out.width, w = static_cast<int>(blockIdx.x) % out.width;
  const int c = static_cast<int>(blockIdx.y * kThreads + threadIdx.x);
  if (c >= out.channels) return;
  const Taps rows(h, in.height, out.height), columns(w, in.width, out.width);
  float sum = 0;
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j)
      sum += static_cast<float>(rows.weight[i] * columns.weight[j]) *
             to_float(x[(std::int64_t{rows.index[i]} * in.width + columns.index[j]) * in.channels + c]);
  y[std::int64_t{blockIdx.x} * out.channels + c] = from_float<T>(sum);
}

// The weights of one axis as a matrix [to, from]: one thread per destination position writes its row.
__global__ void weight_matrix(int from_extent, int to_extent, float* weights) {
  const int position = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (position >= to_extent) return;
  float* const row = weights + std::int64_t{position} * from_extent;
  for (int i = 0; i < from_extent; ++i) row[i] = 0;
  const Taps taps(position, from_extent, to_extent);
  for (int i = 0; i < 4; ++i) row[taps.index[i]] += static_cast<float>(taps.weight[i]);
}

// One thread per element of dx collects from the outputs that it has weight in; which these are is the same
// for all threads of a block. No atomics.
template <class T>
__global__ void __launch_bounds__(kThreads)
    collect(Extents in, Extents out, const float* row_weights, const float* column_weights, const T* dy,
            Destination<T> dx) {
  const int h = static_cast<int>(blockIdx.x) / in.width, w = static_cast<int>(blockIdx.x) % in.width;
  const int c = static_cast<int>(blockIdx.y * kThreads + threadIdx.x);
  if (c >= in.channels) return;
  float sum = 0;
  for (int i = 0; i < out.height; ++i) {
    const float row_weight = row_weights[std::int64_t{i} * in.height + h];
    if (row_weight == 0) continue;
    for (int j = 0; j < out.width; ++j) {
      const float weight = row_weight * column_weights[std::int64_t{j} * in.width + w];
      if (weight != 0) sum += weight * to_float(dy[(std::int64_t{i} * out.width + j) * out.channels + c]);
    }
  }
  dx.put(std::int64_t{blockIdx.x} * in.channels + c, sum);
}

}  // namespace

void CudaBackend::resize_bicubic(const Tensor& x, Tensor& y) {
  const Extents in(x.shape()), out(y.shape());
  dispatch_dtype(x.dtype(), [&]<class T>(TypeTag<T>) {
    launch(interpolate<T>, pixel_grid(out), kThreads, 0, stream(), in, out, x.data<T>(), y.data<T>());
  });
}

void CudaBackend::resize_bicubic_backward(const Tensor& dy, const Target& dx) {
  if (!dx) return;
  const Extents in(dx.dst.shape()), out(dy.shape());
  const Tensor rows = scratch(std::int64_t{in.height} * out.height);
  const Tensor columns = scratch(std::int64_t{in.width} * out.width);
  launch(weight_matrix, static_cast<unsigned>(ceil_div(out.height, kThreads)), kThreads, 0, stream(),
         in.height, out.height, rows.data<float>());
  launch(weight_matrix, static_cast<unsigned>(ceil_div(out.width, kThreads)), kThreads, 0, stream(), in.width,
         out.width, columns.data<float>());
  dispatch_dtype(dy.dtype(), [&]<class T>(TypeTag<T>) {
    launch(collect<T>, pixel_grid(in), kThreads, 0, stream(), in, out, rows.data<float>(),
           columns.data<float>(), dy.data<T>(), Destination<T>(dx));
  });
}

}  // namespace sagitta::cuda
