// Convolution and its two gradients as matrix products over image patches (implicit im2col).
// Rows of the product are output pixels; a row of `Patches` is the patch under the kernel, read straight from
// the image while it is packed, so nothing of the size of an im2col buffer exists. Bound by the FMA units:
// 1x1 convolutions and 3x3 with stride 2 reach 61 to 93 % of their peak, the stem, whose rows of three
// channels make short runs, 51 to 76 %.
#include <cmath>

#include "tensor/cpu/conv_output.h"
#include "tensor/cpu/cpu_backend.h"
#include "tensor/cpu/dispatch.h"
#include "tensor/cpu/gemm.h"
#include "tensor/cpu/winograd.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

namespace {

// A source (gemm_pack.h) whose row (n, a, b) is the patch of image n with its top left corner at pixel
// (a * stride + top, b * stride + left), in the order [patch_height][patch_width][channels]; pixels outside
// are zero.
template <class T>
struct Patches {
  const T* images;  // [N, height, width, channels]
  std::int64_t height, width, channels;
  std::int64_t grid_height, grid_width;  // a < grid_height, b < grid_width
  std::int64_t stride, top, left;
  std::int64_t patch_width;

  using Element = T;
  struct Position {
    const T* image;
    std::int64_t a, b;
  };
  struct Column {
    std::int64_t patch_row;
    std::int64_t offset;  // in elements from the start of that patch row
  };

  Position at(std::int64_t row) const {
    const std::int64_t grid = grid_height * grid_width;
    const std::int64_t image = row / grid, pixel = row - image * grid, a = pixel / grid_width;
    return {images + image * height * width * channels, a, pixel - a * grid_width};
  }
  void advance(Position& position) const {
    if (++position.b < grid_width) return;
    position.b = 0;
    if (++position.a < grid_height) return;
    position.a = 0;
    position.image += height * width * channels;
  }
  Column column(std::int64_t index) const {
    const std::int64_t row_length = patch_width * channels;
    return {index / row_length, index % row_length};
  }
  // A patch row is contiguous in the image, across its pixels, up to the border.
  Run<T> run(const Position& position, const Column& column, std::int64_t limit) const {
    const std::int64_t y = position.a * stride + top + column.patch_row;
    const std::int64_t x = (position.b * stride + left) * channels + column.offset;
    const std::int64_t row_end = width * channels;
    limit = std::min(limit, patch_width * channels - column.offset);
    if (y < 0 || y >= height || x >= row_end) return {kZeros<T>, limit};
    if (x < 0) return {kZeros<T>, std::min(limit, -x)};
    return {position.image + y * row_end + x, std::min(limit, row_end - x)};
  }
};

// The weights seen by one phase of the input gradient, as rows (patch row, patch column, output channel) of
// input channels. Patch rows run against the kernel rows: first_row, first_row - stride, ...
template <class T>
struct PhaseWeights {
  const T* weight;  // [outputs, kernel_height, kernel_width, inputs]
  std::int64_t outputs, kernel_height, kernel_width, inputs;
  std::int64_t first_row, first_column, patch_width, stride;

  using Element = T;
  using Column = std::int64_t;
  struct Position {
    const T* tap;  // of output 0
    std::int64_t index, output;
  };

  const T* tap(std::int64_t index) const {
    const std::int64_t row = first_row - index / patch_width * stride;
    const std::int64_t column = first_column - index % patch_width * stride;
    return weight + (row * kernel_width + column) * inputs;
  }
  Position at(std::int64_t row) const { return {tap(row / outputs), row / outputs, row % outputs}; }
  void advance(Position& position) const {
    if (++position.output < outputs) return;
    position.output = 0;
    // The step after the last row leads to no tap; its address is not formed.
    if (++position.index < (first_row / stride + 1) * patch_width) position.tap = tap(position.index);
  }
  Column column(std::int64_t index) const { return index; }
  Run<T> run(const Position& position, Column column, std::int64_t limit) const {
    return {position.tap + position.output * kernel_height * kernel_width * inputs + column, limit};
  }
};

// Where the rows of a phase go: every stride-th pixel of the image from (top, left).
template <class T>
struct PhasePixels {
  T* images;  // [N, height, width, channels]
  std::int64_t height, width, channels;
  std::int64_t grid_height, grid_width, stride, top, left;
  T* at(std::int64_t row) const {
    const std::int64_t b = row % grid_width, a = row / grid_width % grid_height,
                       n = row / grid_width / grid_height;
    return images + ((n * height + top + a * stride) * width + left + b * stride) * channels;
  }
};

// One axis of a phase: the pixels h = begin + a * stride with (h + padding) % stride == remainder get
// contributions from the kernel rows remainder, remainder + stride, ... and from the output rows first + a,
// first + a + 1, ...
struct PhaseAxis {
  std::int64_t begin, pixels, taps, first, last_tap;
  PhaseAxis(std::int64_t extent, std::int64_t kernel, const Conv2dParams& params, std::int64_t remainder) {
    const std::int64_t stride = params.stride;
    begin = ((remainder - params.padding) % stride + stride) % stride;
    pixels = begin < extent ? ceil_div(extent - begin, stride) : 0;
    taps = remainder < kernel ? ceil_div(kernel - remainder, stride) : 0;
    first = (begin + params.padding - remainder) / stride - (taps - 1);
    last_tap = remainder + stride * (taps - 1);
  }
};

bool is_plain_product(const Conv2dParams& params, const Shape& weight) {
  return weight[1] == 1 && weight[2] == 1 && params.stride == 1 && params.padding == 0;
}

// Output pixels per side of a Winograd tile, 0 for the direct sum.
template <class T>
int winograd_out(const Conv2dParams& params, const Shape& weight, const Shape& y) {
  if (weight[1] != 3 || weight[2] != 3 || params.stride != 1 || params.padding != 1 ||
      !winograd_fits<T>(weight))
    return 0;
  // F(4x4) has the fewest products, but where an image has few tiles, many reach over its border.
  constexpr std::int64_t kSmallImage = 20;
  switch (conv_algorithm()) {
    case ConvAlgorithm::automatic: return std::min(y[1], y[2]) < kSmallImage ? 2 : 4;
    case ConvAlgorithm::winograd2: return 2;
    case ConvAlgorithm::winograd4: return 4;
    case ConvAlgorithm::direct: break;
  }
  return 0;
}

// Calls f.operator()<Out>().
template <class F>
bool with_winograd(int out, const F& f) {
  if (out == 4) return f.template operator()<4>(), true;
  if (out == 2) return f.template operator()<2>(), true;
  return false;
}

// The patches of x [N,H,W,I] under a kernel, one per pixel of y [N,OH,OW,O].
template <class T>
Patches<T> patches_of(const Conv2dParams& params, const Tensor& x, const Shape& weight, const Shape& y) {
  const Shape& in = x.shape();
  return {x.data<T>(), in[1],         in[2],           in[3],           y[1],
          y[2],        params.stride, -params.padding, -params.padding, weight[2]};
}

// Finishes a part of y [rows][columns] that a matrix product hands over. Row by row, although scale and shift
// are then read anew for each: down a column, rows a power of two apart would share one set of the L1 cache.
template <OutputSteps kSteps, class T>
void finish_output(const ConvOutput<T>& output, const Block& block, std::int64_t columns, T* y) {
  const T *scale = output.scale, *shift = output.shift;
  for (std::int64_t row = block.row_begin; row < block.row_end; ++row) {
    T* const to = y + row * columns;
    const T* const residual = kSteps.residual ? output.residual + row * columns : nullptr;
#pragma omp simd
    for (std::int64_t c = block.column_begin; c < block.column_end; ++c)
      to[c] = finished(kSteps, to[c], scale[c], shift[c], [=] { return residual[c]; });
  }
}

template <class T>
void finish_output(const ConvOutput<T>& output, const Block& block, std::int64_t columns, T* y) {
  const bool residual = output.residual != nullptr;
  if (residual && output.relu)
    finish_output<OutputSteps{.residual = true, .relu = true}>(output, block, columns, y);
  else if (residual)
    finish_output<OutputSteps{.residual = true, .relu = false}>(output, block, columns, y);
  else if (output.relu)
    finish_output<OutputSteps{.residual = false, .relu = true}>(output, block, columns, y);
  else
    finish_output<OutputSteps{.residual = false, .relu = false}>(output, block, columns, y);
}

template <class T>
void forward(CachingAllocator& allocator, const Conv2dParams& params, const Tensor& x, const Tensor& weight,
             const ConvOutput<T>& output, Tensor& y) {
  const Shape& w = weight.shape();
  if (with_winograd(winograd_out<T>(params, w, y.shape()), [&]<int Out>() {
        winograd<T, Out>(allocator, WinogradPass::forward, weight, TileGrid(x.shape(), Out), x.data<T>(),
                         y.data<T>(), false, output);
      }))
    return;
  const GemmExtents extents{y.shape().rows(), w[0], w[1] * w[2] * w[3]};
  const AlongRows<Matrix<T>> kernels{{weight.data<T>(), extents.k}};
  const OutputRows<T> out{y.data<T>(), extents.n};
  const auto finish = [&output, out](const Block& block) {
    if (output.scale != nullptr) finish_output(output, block, out.stride, out.data);
  };
  if (is_plain_product(params, w)) {
    multiply<T>(allocator, extents, AlongRows<Matrix<T>>{{x.data<T>(), w[3]}}, kernels, out, false, finish,
                &weight);
  } else {
    const AlongRows<Patches<T>> patches{patches_of<T>(params, x, w, y.shape())};
    multiply<T>(allocator, extents, patches, kernels, out, false, finish, &weight);
  }
}

}  // namespace

void CpuBackend::conv2d(const Conv2dParams& params, const Tensor& x, const Tensor& weight, Tensor& y) {
  dispatch_floating(x.dtype(),
                    [&]<class T>(TypeTag<T>) { forward<T>(allocator_, params, x, weight, {}, y); });
}

void CpuBackend::conv2d_batch_norm(const ConvNormParams& params, const Tensor& x, const Tensor& weight,
                                   const Tensor& gamma, const Tensor& beta, const Tensor& running_mean,
                                   const Tensor& running_var, const Tensor& residual, Tensor& y) {
  dispatch_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    const std::int64_t channels = gamma.numel();
    const Scratch<T> scale(allocator_, channels), shift(allocator_, channels);
    for (std::int64_t c = 0; c < channels; ++c) {
      const double rstd = 1 / std::sqrt(static_cast<double>(running_var.data<T>()[c]) + params.eps);
      const double factor = static_cast<double>(gamma.data<T>()[c]) * rstd;
      scale[c] = static_cast<T>(factor);
      shift[c] = static_cast<T>(static_cast<double>(beta.data<T>()[c]) -
                                static_cast<double>(running_mean.data<T>()[c]) * factor);
    }
    forward<T>(allocator_, params.conv, x, weight,
               {scale.data(), shift.data(), residual ? residual.data<T>() : nullptr, params.relu}, y);
  });
}

// dx is itself a convolution of dy for each phase of the stride: the pixels of dx whose coordinates have one
// remainder meet the same kernel taps. With stride 1 there is one phase, with all taps.
void CpuBackend::conv2d_backward_input(const Conv2dParams& params, const Tensor& weight, const Tensor& dy,
                                       const Target& dx) {
  if (!dx) return;
  dispatch_floating(dy.dtype(), [&]<class T>(TypeTag<T>) {
    const Shape& w = weight.shape();
    if (with_winograd(winograd_out<T>(params, w, dy.shape()), [&]<int Out>() {
          winograd<T, Out>(allocator_, WinogradPass::backward_input, weight, TileGrid(dy.shape(), Out),
                           dy.data<T>(), dx.dst.data<T>(), dx.accumulate);
        }))
      return;
    const Shape& in = dx.dst.shape();
    const Shape& out = dy.shape();
    T* const pixels = dx.dst.data<T>();
    if (is_plain_product(params, w)) {
      multiply<T>(allocator_, {out.rows(), w[3], w[0]}, AlongRows<Matrix<T>>{{dy.data<T>(), w[0]}},
                  AlongColumns<Matrix<T>>{{weight.data<T>(), w[3]}}, OutputRows<T>{pixels, w[3]},
                  dx.accumulate);
      return;
    }
    const std::int64_t stride = params.stride;
    for (std::int64_t phase = 0; phase < stride * stride; ++phase) {
      const PhaseAxis rows(in[1], w[1], params, phase / stride), columns(in[2], w[2], params, phase % stride);
      if (rows.pixels == 0 || columns.pixels == 0) continue;
      const AlongRows<Patches<T>> patches{{dy.data<T>(), out[1], out[2], out[3], rows.pixels, columns.pixels,
                                           1, rows.first, columns.first, columns.taps}};
      const AlongColumns<PhaseWeights<T>> kernels{
          {weight.data<T>(), w[0], w[1], w[2], w[3], rows.last_tap, columns.last_tap, columns.taps, stride}};
      const PhasePixels<T> target{pixels,         in[1],  in[2],      in[3],        rows.pixels,
                                  columns.pixels, stride, rows.begin, columns.begin};
      multiply<T>(allocator_, {in[0] * rows.pixels * columns.pixels, w[3], rows.taps * columns.taps * w[0]},
                  patches, kernels, target, dx.accumulate);
    }
  });
}

void CpuBackend::conv2d_backward_weight(const Conv2dParams& params, const Tensor& x, const Tensor& dy,
                                        const Target& dweight) {
  if (!dweight) return;
  dispatch_floating(x.dtype(), [&]<class T>(TypeTag<T>) {
    const Shape& w = dweight.dst.shape();
    if (with_winograd(winograd_out<T>(params, w, dy.shape()), [&]<int Out>() {
          winograd_backward_weight<T, Out>(allocator_, w, TileGrid(x.shape(), Out), x.data<T>(), dy.data<T>(),
                                           dweight.dst.data<T>(), dweight.accumulate);
        }))
      return;
    const GemmExtents extents{w[0], w[1] * w[2] * w[3], dy.shape().rows()};
    const AlongColumns<Matrix<T>> gradients{{dy.data<T>(), w[0]}};
    const OutputRows<T> out{dweight.dst.data<T>(), extents.n};
    if (is_plain_product(params, w)) {
      multiply<T>(allocator_, extents, gradients, AlongColumns<Matrix<T>>{{x.data<T>(), w[3]}}, out,
                  dweight.accumulate);
    } else {
      const AlongColumns<Patches<T>> patches{patches_of<T>(params, x, w, dy.shape())};
      multiply<T>(allocator_, extents, gradients, patches, out, dweight.accumulate);
    }
  });
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
