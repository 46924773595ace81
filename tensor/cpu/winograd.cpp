// Bound by the FMA units in its matrix products and by the L2 cache in the transforms, which take 10 to 25 %
// of the time for 64 to 256 channels. With the multiplications counted that it saves, it reaches 75 %
// (512 channels) to 275 % of the FMA peak.
#include "tensor/cpu/winograd.h"

#include <algorithm>

#include "tensor/cpu/gemm.h"
#include "tensor/cpu/parallel.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

namespace {

template <class T>
using Vector = typename Simd<T>::Vector;
template <class T>
using Unaligned = typename Simd<T>::Unaligned;
template <class T>
constexpr int kLanes = Simd<T>::kLanes;

template <class T>
void load(Vector<T>& to, const T* from) {
  to = *reinterpret_cast<const Unaligned<T>*>(from);
}
template <class T>
void store(T* to, const Vector<T>& value, bool accumulate = false) {
  auto* out = reinterpret_cast<Unaligned<T>*>(to);
  *out = accumulate ? *out + value : value;
}

// Rows of transformed tiles are padded by a vector, so that they do not all fall into the same cache sets.
template <class T>
std::int64_t padded(std::int64_t channels) {
  return channels + kLanes<T>;
}

// Where tile `index` lies: pixels (top.., left..) of an image, of which those outside count as zeros.
struct TilePlace {
  std::int64_t image, top, left;
  TilePlace(const TileGrid& grid, std::int64_t index, int out)
      : image(index / (grid.rows * grid.columns)),
        top(index / grid.columns % grid.rows * out),
        left(index % grid.columns * out) {}
};

// Calls f(i, j, address) for the pixels (i, j) of a Size x Size square whose corner is at (top, left), with
// the address of channel 0; null for pixels outside the image.
template <int Size, class T, class F>
void for_pixels(const TileGrid& grid, std::int64_t channels, std::int64_t image, std::int64_t top,
                std::int64_t left, T* pixels, const F& f) {
#pragma GCC unroll 6
  for (int i = 0; i < Size; ++i)
#pragma GCC unroll 6
    for (int j = 0; j < Size; ++j) {
      const bool inside = static_cast<std::uint64_t>(top + i) < static_cast<std::uint64_t>(grid.height) &&
                          static_cast<std::uint64_t>(left + j) < static_cast<std::uint64_t>(grid.width);
      f(i, j,
        inside ? pixels + ((image * grid.height + top + i) * grid.width + left + j) * channels : nullptr);
    }
}

// One tile, all channels: a Size x Size square of pixels with its corner `margin` above and left of the tile
// is transformed to kIn x kIn and stored, plane by plane, at to + plane * plane_stride.
template <class W, int Size, class T, class Apply>
void transform_tile(const TileGrid& grid, std::int64_t index, int margin, std::int64_t channels,
                    const T* pixels, T* to, std::int64_t plane_stride, const Apply& apply) {
  const TilePlace place(grid, index, W::kOut);
  const T* from[Size * Size];
  for_pixels<Size>(grid, channels, place.image, place.top - margin, place.left - margin, pixels,
                   [&](int i, int j, const T* pixel) { from[i * Size + j] = pixel; });
  for (std::int64_t c = 0; c < channels; c += kLanes<T>) {
    Vector<T> square[W::kIn * W::kIn];
#pragma GCC unroll 6
    for (int i = 0; i < Size; ++i)
#pragma GCC unroll 6
      for (int j = 0; j < Size; ++j) {
        Vector<T>& value = square[i * W::kIn + j];
        value = Vector<T>{};
        if (const T* pixel = from[i * Size + j]) load<T>(value, pixel + c);
      }
    transform_square<Size, W::kIn, W::kIn>(square, apply);
#pragma GCC unroll 36
    for (int i = 0; i < W::kIn * W::kIn; ++i) store<T>(to + i * plane_stride + c, square[i]);
  }
}

template <class W, class T>
void transform_input(const TileGrid& grid, std::int64_t index, std::int64_t channels, const T* pixels, T* to,
                     std::int64_t plane_stride) {
  transform_tile<W, W::kIn>(grid, index, 1, channels, pixels, to, plane_stride,
                            [](Vector<T>* x, int s) { W::input(x, s); });
}

template <class W, class T>
void transform_output_gradient(const TileGrid& grid, std::int64_t index, std::int64_t channels,
                               const T* pixels, T* to, std::int64_t plane_stride) {
  transform_tile<W, W::kOut>(grid, index, 0, channels, pixels, to, plane_stride,
                             [](Vector<T>* x, int s) { W::output_transposed(x, s); });
}

// The products of one tile back to kOut x kOut pixels.
template <class W, class T>
void transform_output(const TileGrid& grid, std::int64_t index, std::int64_t channels, const T* from,
                      std::int64_t plane_stride, T* pixels, bool accumulate, const ConvOutput<T>& output) {
  const TilePlace place(grid, index, W::kOut);
  T* to[W::kOut * W::kOut];
  for_pixels<W::kOut>(grid, channels, place.image, place.top, place.left, pixels,
                      [&](int i, int j, T* pixel) { to[i * W::kOut + j] = pixel; });
  const OutputSteps steps{.residual = output.residual != nullptr, .relu = output.relu};
  for (std::int64_t c = 0; c < channels; c += kLanes<T>) {
    Vector<T> square[W::kIn * W::kIn], scale{}, shift{};
#pragma GCC unroll 36
    for (int i = 0; i < W::kIn * W::kIn; ++i) load<T>(square[i], from + i * plane_stride + c);
    transform_square<W::kIn, W::kOut, W::kIn>(square, [](Vector<T>* x, int s) { W::output(x, s); });
    if (output.scale != nullptr) load<T>(scale, output.scale + c), load<T>(shift, output.shift + c);
#pragma GCC unroll 4
    for (int i = 0; i < W::kOut; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < W::kOut; ++j) {
        T* const pixel = to[i * W::kOut + j];
        if (pixel == nullptr) continue;
        Vector<T> value = square[i * W::kIn + j];
        if (output.scale != nullptr)
          value = finished(steps, value, scale, shift, [&] {
            Vector<T> residual;
            load<T>(residual, output.residual + (pixel - pixels) + c);
            return residual;
          });
        store<T>(pixel + c, value, accumulate);
      }
  }
}

// The taps of a vector of input channels of one output, transformed; turned by 180 degrees on the way back.
template <class W, class T>
void transform_kernel(const T* taps, std::int64_t inputs, bool turned, Vector<T>* square) {
#pragma GCC unroll 9
  for (int tap = 0; tap < 9; ++tap)
    load<T>(square[tap / 3 * W::kIn + tap % 3], taps + (turned ? 8 - tap : tap) * inputs);
  transform_square<3, W::kIn, W::kIn>(square, [](Vector<T>* x, int s) { W::kernel(x, s); });
}

// All kernels transformed and packed into the panels of kIn x kIn matrices [depth][columns]: depth are the
// inputs and columns the outputs of the convolution, or the other way round on the way back.
template <class W, class T>
void pack_kernels(WinogradPass pass, std::int64_t outputs, std::int64_t inputs, const T* weight, T* panels) {
  constexpr int kPlanes = W::kIn * W::kIn;
  constexpr std::int64_t kColumns = kTileColumns<T>;
  const std::int64_t groups = inputs / kLanes<T>;
  if (pass == WinogradPass::backward_input) {
    const std::int64_t plane_stride = outputs * packed_columns<T>(inputs);
    parallel_tasks(outputs, [&](std::int64_t o, int) {
      for (std::int64_t c = 0; c < inputs; c += kLanes<T>) {
        Vector<T> square[kPlanes];
        transform_kernel<W, T>(weight + o * 9 * inputs + c, inputs, true, square);
        T* const to = panels + (c / kColumns * outputs + o) * kColumns + c % kColumns;
        for (int i = 0; i < kPlanes; ++i) store<T>(to + i * plane_stride, square[i]);
      }
    });
    return;
  }
  const std::int64_t plane_stride = inputs * packed_columns<T>(outputs);
  parallel_tasks(ceil_div(outputs, kColumns) * groups, [&](std::int64_t task, int) {
    const std::int64_t panel = task / groups, c = task % groups * kLanes<T>;
    alignas(64) T transformed[kPlanes][kColumns][kLanes<T>];
    for (std::int64_t column = 0; column < kColumns; ++column) {
      const std::int64_t o = panel * kColumns + column;
      Vector<T> square[kPlanes] = {};
      if (o < outputs) transform_kernel<W, T>(weight + o * 9 * inputs + c, inputs, false, square);
      for (int i = 0; i < kPlanes; ++i) store<T>(transformed[i][column], square[i]);
    }
    for (int i = 0; i < kPlanes; ++i) {
      const T* rows[kColumns];
      for (std::int64_t column = 0; column < kColumns; ++column) rows[column] = transformed[i][column];
      transpose_rows<kColumns>(rows, kLanes<T>, panels + i * plane_stride + (panel * inputs + c) * kColumns);
    }
  });
}

constexpr std::int64_t kBlockBytes = 600000;  // of transformed tiles and their products: within the L2 cache
constexpr std::int64_t kMostTiles = 8 * kTileRows;

// c [rows][columns] = a [rows][depth] b for at most kMostTiles rows, of which a has whole kernel tiles.
template <class T>
void multiply_plane(std::int64_t rows, std::int64_t columns, std::int64_t depth, const T* a,
                    std::int64_t a_stride, const T* panels, T* c, std::int64_t c_stride) {
  T* c_rows[kMostTiles];
  for (std::int64_t r = 0; r < rows; ++r) c_rows[r] = c + r * c_stride;
  for (std::int64_t j = 0; j < columns; j += kTileColumns<T>)
    for_tiles<T>(c_rows, rows, j, std::min<std::int64_t>(kTileColumns<T>, columns - j), false,
                 [&]<int Rows, int Vectors>(std::int64_t i, const TileC<T>& tile) {
                   multiply_tile<T, Rows, Vectors>(depth, TileRows<T, Rows>(a + i * a_stride, a_stride),
                                                   TileB<T>{panels + j * depth, kTileColumns<T>}, tile,
                                                   FetchNothing());
                 });
}

// Of `tiles` tiles, how many are transformed and multiplied together: whole kernel rows of them. They fit the
// L2 cache, but where the transformed kernels are so many that every block reads them from memory, blocks are
// large, up to a thread's share of the tiles.
template <class W, class T>
std::int64_t block_tiles(std::int64_t tiles, std::int64_t depth, std::int64_t columns) {
  constexpr std::int64_t kPlaneBytes = W::kIn * W::kIn * static_cast<std::int64_t>(sizeof(T));
  constexpr std::int64_t kCachedKernels = 8'000'000, kFewest = 2 * kTileRows, kEnough = 6 * kTileRows;
  const std::int64_t share = round_up(ceil_div(tiles, ThreadPool::instance().size()), kTileRows);
  const std::int64_t fewest =
      kPlaneBytes * depth * columns > kCachedKernels ? std::clamp(share, kFewest, kEnough) : kFewest;
  const std::int64_t fitting = kBlockBytes / (kPlaneBytes * (depth + columns)) / kTileRows * kTileRows;
  return std::min(std::clamp(fitting, fewest, kMostTiles), round_up(tiles, kTileRows));
}

}  // namespace

template <class T>
bool winograd_fits(const Shape& weight) {
  return weight[0] % kLanes<T> == 0 && weight[3] % kLanes<T> == 0;
}

template <class T, int Out>
void winograd(CachingAllocator& allocator, WinogradPass pass, const Tensor& weight, const TileGrid& grid,
              const T* x, T* y, bool accumulate, const ConvOutput<T>& output) {
  using W = Winograd<Out>;
  constexpr int kPlanes = W::kIn * W::kIn;
  const std::int64_t outputs = weight.shape()[0], inputs = weight.shape()[3];
  const bool forward = pass == WinogradPass::forward;
  const std::int64_t depth = forward ? inputs : outputs, columns = forward ? outputs : inputs;
  const std::int64_t panel_plane = depth * packed_columns<T>(columns);
  const WeightPanels<T> panels(allocator, forward ? &weight : nullptr,
                               Out == 2 ? WeightForm::winograd2 : WeightForm::winograd4, depth, columns,
                               kPlanes * panel_plane,
                               [&](T* to) { pack_kernels<W>(pass, outputs, inputs, weight.data<T>(), to); });

  const std::int64_t tiles = grid.tiles(), block = block_tiles<W, T>(tiles, depth, columns);
  const std::int64_t x_plane = block * padded<T>(depth), y_plane = block * padded<T>(columns);
  const ThreadScratch<T> scratch(allocator, kPlanes * (x_plane + y_plane));
  parallel_tasks(ceil_div(tiles, block), [&](std::int64_t task, int thread) {
    const std::int64_t begin = task * block, count = std::min(block, tiles - begin);
    T* const transformed = scratch.of(thread);
    T* const products = transformed + kPlanes * x_plane;
    for (std::int64_t t = 0; t < count; ++t)
      transform_input<W, T>(grid, begin + t, depth, x, transformed + t * padded<T>(depth), x_plane);
    for (int i = 0; i < kPlanes; ++i)
      multiply_plane<T>(count, columns, depth, transformed + i * x_plane, padded<T>(depth),
                        panels.data() + i * panel_plane, products + i * y_plane, padded<T>(columns));
    for (std::int64_t t = 0; t < count; ++t)
      transform_output<W, T>(grid, begin + t, columns, products + t * padded<T>(columns), y_plane, y,
                             accumulate, output);
  });
}

// dweight = G^T [ sum over tiles of (A dY A^T) * (B^T D B) ] G. The sum is a matrix product over tiles for
// every plane; tiles are transformed in rounds that fit the L3 cache, and the sums of a plane are added round
// by round.
template <class T, int Out>
void winograd_backward_weight(CachingAllocator& allocator, const Shape& weight_shape, const TileGrid& grid,
                              const T* x, const T* dy, T* dweight, bool accumulate) {
  using W = Winograd<Out>;
  constexpr int kPlanes = W::kIn * W::kIn;
  constexpr std::int64_t kRoundBytes = 6000000, kTogether = 4;
  const std::int64_t outputs = weight_shape[0], inputs = weight_shape[3], tiles = grid.tiles();
  const std::int64_t tile_bytes = kPlanes * (outputs + inputs) * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t round = std::min(tiles, std::max<std::int64_t>(96, kRoundBytes / tile_bytes));
  const std::int64_t x_plane = round * padded<T>(inputs), dy_plane = round * padded<T>(outputs);
  const Scratch<T> transformed_x(allocator, kPlanes * x_plane), transformed_dy(allocator, kPlanes * dy_plane);
  const Scratch<T> sums(allocator, kPlanes * outputs * inputs);  // [plane][outputs][inputs]
  constexpr std::int64_t kRowBlock = 4 * kTileRows;
  const std::int64_t row_blocks = ceil_div(outputs, kRowBlock);
  const ThreadScratch<T> scratch(allocator, block_scratch<T>());

  for (std::int64_t begin = 0; begin < tiles; begin += round) {
    const std::int64_t count = std::min(round, tiles - begin);
    parallel_tasks(ceil_div(count, kTogether), [&](std::int64_t task, int) {
      for (std::int64_t t = task * kTogether; t < std::min(count, (task + 1) * kTogether); ++t) {
        transform_input<W, T>(grid, begin + t, inputs, x, transformed_x.data() + t * padded<T>(inputs),
                              x_plane);
        transform_output_gradient<W, T>(grid, begin + t, outputs, dy,
                                        transformed_dy.data() + t * padded<T>(outputs), dy_plane);
      }
    });
    parallel_tasks(kPlanes * row_blocks, [&](std::int64_t task, int thread) {
      const std::int64_t plane = task / row_blocks, row = task % row_blocks * kRowBlock;
      const AlongColumns<Matrix<T>> a{{transformed_dy.data() + plane * dy_plane, padded<T>(outputs)}};
      const AlongColumns<Matrix<T>> b{{transformed_x.data() + plane * x_plane, padded<T>(inputs)}};
      for (std::int64_t column = 0; column < inputs; column += kBlockColumns)
        multiply_block(
            Block{row, std::min(outputs, row + kRowBlock), column, std::min(inputs, column + kBlockColumns)},
            0, count, a, OwnPanels<T, AlongColumns<Matrix<T>>>{b},
            OutputRows<T>{sums.data() + plane * outputs * inputs, inputs}, begin > 0, scratch.of(thread));
    });
  }

  parallel_tasks(outputs, [&](std::int64_t o, int) {
    for (std::int64_t c = 0; c < inputs; c += kLanes<T>) {
      Vector<T> square[kPlanes];
      for (int i = 0; i < kPlanes; ++i) load<T>(square[i], sums.data() + (i * outputs + o) * inputs + c);
      transform_square<W::kIn, 3, W::kIn>(square, [](Vector<T>* u, int s) { W::kernel_transposed(u, s); });
      for (int tap = 0; tap < 9; ++tap)
        store<T>(dweight + (o * 9 + tap) * inputs + c, square[tap / 3 * W::kIn + tap % 3], accumulate);
    }
  });
}

#define SAGITTA_WINOGRAD(T, OUT)                                                                             \
  template void winograd<T, OUT>(CachingAllocator&, WinogradPass, const Tensor&, const TileGrid&, const T*,  \
                                 T*, bool, const ConvOutput<T>&);                                            \
  template void winograd_backward_weight<T, OUT>(CachingAllocator&, const Shape&, const TileGrid&, const T*, \
                                                 const T*, T*, bool);
SAGITTA_WINOGRAD(float, 2)
SAGITTA_WINOGRAD(float, 4)
SAGITTA_WINOGRAD(double, 2)
SAGITTA_WINOGRAD(double, 4)
template bool winograd_fits<float>(const Shape&);
template bool winograd_fits<double>(const Shape&);

}  // namespace sagitta::cpu::inline SAGITTA_ISA
