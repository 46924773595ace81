// Convolution and its two gradients, over dnn.h. cuDNN is fast where channel counts fill its tensor-core
// tiles, takes memory aligned to 16 bytes and overwrites what it computes. What is asked of the backend may
// be otherwise (a picture of 3 channels, a gradient to add), so tensors are padded with zero channels on the
// way in, and cut or added on the way out. Zeros add nothing to a sum: the results are the same. For the
// layers that carry the work nothing is copied.
#include "cuda/cuda_backend.h"
#include "cuda/launch.h"
#include "cuda/pack.cuh"

namespace sagitta::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kVector = 4;  // channels per thread: 8 bytes in 16 bits, as much as a padded RGB pixel

// The rows of a matrix with another number of columns: zeros to the right of and below the source where the
// destination is larger, cut where it is smaller.
// Threads of a block: x walks along a row in packs of kSize, y counts rows; a narrow row has few threads in x
// and many in y, so that a warp always writes neighboring packs. Bound by memory: reads and writes each
// element once.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    fit_matrix(const T* source, std::int64_t source_rows, std::int64_t source_columns, T* destination,
               std::int64_t rows, std::int64_t columns, bool accumulate) {
  const std::int64_t row = std::int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (row >= rows) return;
  const T* source_row = source + row * source_columns;
  const std::int64_t available = row < source_rows ? source_columns : 0;
  for (std::int64_t column = std::int64_t{threadIdx.x} * kSize; column < columns;
       column += std::int64_t{blockDim.x} * kSize) {
    float values[kSize];
#pragma unroll
    for (int i = 0; i < kSize; ++i)
      values[i] = column + i < available ? to_float(source_row[column + i]) : 0.0F;
    store_target<kSize>(destination + row * columns + column, values, accumulate);
  }
}

// Both tensors as matrices of [all but the channels, channels]; the leading axis may differ too.
void fit_channels(cudaStream_t stream, const Tensor& source, const Target& target) {
  const Tensor& y = target.dst;
  const std::int64_t rows = y.shape().rows(), columns = y.shape().back();
  dispatch_dtype(y.dtype(), [&]<class T>(TypeTag<T>) {
    const bool vector = columns % kVector == 0 && aligned<kVector * sizeof(T)>(y);
    const std::int64_t packs = vector ? columns / kVector : columns;
    unsigned width = 1;
    while (width < packs && width < kThreads) width *= 2;
    const unsigned height = kThreads / width;
    launch(vector ? fit_matrix<T, kVector> : fit_matrix<T, 1>,
           dim3(static_cast<unsigned>(ceil_div(rows, height))), dim3(width, height), 0, stream,
           reinterpret_cast<const T*>(source.raw()), source.shape().rows(), source.shape().back(),
           reinterpret_cast<T*>(y.raw()), rows, columns, target.accumulate);
  });
}

// Whether cuDNN may have the tensor as it is.
bool fits(const Tensor& tensor, const Shape& shape) { return tensor.shape() == shape && aligned(tensor); }

// The tensor itself, or a copy with zeros where `shape` is larger.
Tensor padded(cudaStream_t stream, const Tensor& tensor, const Shape& shape) {
  if (fits(tensor, shape)) return tensor;
  Tensor copy(tensor.backend(), shape, tensor.dtype());
  fit_channels(stream, tensor, {copy});
  return copy;
}

// Calls compute(destination) with the target or, where cuDNN may not write there, with memory of `shape` that
// goes there afterwards.
template <class Compute>
void write_target(cudaStream_t stream, const Target& target, const Shape& shape, const Compute& compute) {
  if (!target.accumulate && fits(target.dst, shape)) {
    Tensor destination = target.dst;
    compute(destination);
    return;
  }
  Tensor result(target.dst.backend(), shape, target.dst.dtype());
  compute(result);
  fit_channels(stream, result, target);
}

}  // namespace

void CudaBackend::conv2d(const Conv2dParams& params, const Tensor& x, const Tensor& weight, Tensor& y) {
  if (y.numel() == 0) return;
  const ConvolutionShapes shapes = padded_shapes(x.dtype(), {x.shape(), weight.shape(), y.shape()});
  write_target(stream(), {y}, shapes.y, [&](Tensor& destination) {
    dnn_->convolution(params, padded(stream(), x, shapes.x), padded(stream(), weight, shapes.weight),
                      destination);
  });
}

void CudaBackend::conv2d_backward_input(const Conv2dParams& params, const Tensor& weight, const Tensor& dy,
                                        const Target& dx) {
  if (!dx || dx.dst.numel() == 0) return;
  const ConvolutionShapes shapes = padded_shapes(dy.dtype(), {dx.dst.shape(), weight.shape(), dy.shape()});
  write_target(stream(), dx, shapes.x, [&](Tensor& destination) {
    dnn_->convolution_backward_input(params, padded(stream(), weight, shapes.weight),
                                     padded(stream(), dy, shapes.y), destination);
  });
}

void CudaBackend::conv2d_backward_weight(const Conv2dParams& params, const Tensor& x, const Tensor& dy,
                                         const Target& dweight) {
  if (!dweight) return;
  if (x.numel() == 0) {  // a sum over no images
    Tensor zeros = dweight.dst;
    if (!dweight.accumulate) fill(zeros, 0);
    return;
  }
  const ConvolutionShapes shapes = padded_shapes(x.dtype(), {x.shape(), dweight.dst.shape(), dy.shape()});
  write_target(stream(), dweight, shapes.weight, [&](Tensor& destination) {
    dnn_->convolution_backward_weight(params, padded(stream(), x, shapes.x), padded(stream(), dy, shapes.y),
                                      destination);
  });
}

}  // namespace sagitta::cuda
