// Convolutions with 3 x 3 kernels, stride 1 and padding 1 by Winograd's minimal filtering
// (winograd_transforms.h): an image is cut into tiles, each tile transformed into kIn x kIn numbers per
// channel, and the convolution becomes that many matrix products over channels, with 4 (F(4x4)) or 2.25
// (F(2x2)) times fewer multiplications than the definition has. Rounding errors are larger than those of the
// direct sum, but of the same kind: docs/performance.md has the measurements.
#pragma once
#include <cstdint>

#include "tensor/cpu/allocator.h"
#include "tensor/cpu/conv_output.h"
#include "tensor/cpu/winograd_transforms.h"
#include "tensor/tensor.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

// Images [images, height, width, channels] and their tiles of Out x Out pixels; the last tile of a row or
// column may reach over the border.
struct TileGrid {
  std::int64_t images, height, width, rows, columns;  // rows and columns of tiles in an image
  TileGrid(const Shape& shape, int out)
      : images(shape[0]),
        height(shape[1]),
        width(shape[2]),
        rows((height + out - 1) / out),
        columns((width + out - 1) / out) {}
  std::int64_t tiles() const { return images * rows * columns; }
};

// Whether both channel counts fill whole SIMD vectors.
template <class T>
bool winograd_fits(const Shape& weight);

// y (+)= conv(x, weight): x [N,H,W,I], weight [O,3,3,I], y [N,H,W,O]. Backwards: y (+)= the gradient of the
// input x' [N,H,W,I] for the output gradient x [N,H,W,O], which is the convolution with the kernel turned by
// 180 degrees.
enum class WinogradPass { forward, backward_input };
template <class T, int Out>
void winograd(CachingAllocator& allocator, WinogradPass pass, const Tensor& weight, const TileGrid& grid,
              const T* x, T* y, bool accumulate, const ConvOutput<T>& output = {});

// dweight (+)= the weight gradient for input x [N,H,W,I] and output gradient dy [N,H,W,O].
template <class T, int Out>
void winograd_backward_weight(CachingAllocator& allocator, const Shape& weight_shape, const TileGrid& grid,
                              const T* x, const T* dy, T* dweight, bool accumulate);

}  // namespace sagitta::cpu::inline SAGITTA_ISA
