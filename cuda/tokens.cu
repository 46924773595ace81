// Token bookkeeping of a vision transformer: prepending the class token with position embeddings, picking one
// token. Bound by memory: every element is read and written once.
// Threads lie along the packs of one image's [T,D], so that an offset into it is one into the positions as
// well; blockIdx.y counts images.
#include <algorithm>

#include "cuda/cuda_backend.h"
#include "cuda/launch.h"
#include "cuda/target.cuh"

namespace sagitta::cuda {
namespace {

constexpr int kThreads = 256;

dim3 image_grid(std::int64_t elements, int pack, std::int64_t images) {
  return {static_cast<unsigned>(ceil_div(elements / pack, kThreads)),
          static_cast<unsigned>(std::min<std::int64_t>(images, 65535)), 1};
}

__device__ inline std::int64_t first_element(int pack) {
  return (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * pack;
}

// patches [B,T,D], cls [D], positions [T+1,D], y [B,T+1,D]; `elements` is (T+1)*D. Reads and writes one
// element per element; the positions stay in the L2 cache.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    prepend(std::int64_t images, std::int64_t elements, std::int64_t dim, const T* patches, const T* cls,
            const T* positions, T* y) {
  const std::int64_t offset = first_element(kSize);
  if (offset >= elements) return;
  float position[kSize];
  load_floats<kSize>(positions + offset, position);
  for (std::int64_t image = blockIdx.y; image < images; image += gridDim.y) {
    float values[kSize];
    load_floats<kSize>(offset < dim ? cls + offset : patches + image * (elements - dim) + offset - dim,
                       values);
#pragma unroll
    for (int i = 0; i < kSize; ++i) values[i] += position[i];
    store_floats<kSize>(y + image * elements + offset, values);
  }
}

// One thread per pack of [T+1,D] goes through all images: it copies their gradients and adds them up in
// order. Reads and writes one element per element.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    prepend_gradients(std::int64_t images, std::int64_t elements, std::int64_t dim, const T* dy,
                      Destination<T> dpatches, Destination<T> dcls, Destination<T> dpositions) {
  const std::int64_t offset = first_element(kSize);
  if (offset >= elements) return;
  float sum[kSize] = {};
#pragma unroll 4
  for (std::int64_t image = 0; image < images; ++image) {
    float values[kSize];
    load_floats<kSize>(dy + image * elements + offset, values);
#pragma unroll
    for (int i = 0; i < kSize; ++i) sum[i] += values[i];
    if (dpatches.data != nullptr && offset >= dim)
      dpatches.put(image * (elements - dim) + offset - dim, values);
  }
  if (dcls.data != nullptr && offset < dim) {
    float copy[kSize];
#pragma unroll
    for (int i = 0; i < kSize; ++i) copy[i] = sum[i];
    dcls.put(offset, copy);
  }
  if (dpositions.data != nullptr) dpositions.put(offset, sum);
}

// The token that starts at element `begin` of every image of x [B,T,D], with `elements` = T*D.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    pick(std::int64_t images, std::int64_t elements, std::int64_t begin, std::int64_t dim, const T* x, T* y) {
  const std::int64_t offset = first_element(kSize);
  if (offset >= dim) return;
  for (std::int64_t image = blockIdx.y; image < images; image += gridDim.y) {
    float values[kSize];
    load_floats<kSize>(x + image * elements + begin + offset, values);
    store_floats<kSize>(y + image * dim + offset, values);
  }
}

// The way back: the token's gradient goes to it and zeros everywhere else, where a sum needs no visit.
template <class T, int kSize>
__global__ void __launch_bounds__(kThreads)
    put_back(std::int64_t images, std::int64_t elements, std::int64_t begin, std::int64_t dim, const T* dy,
             Destination<T> dx) {
  const std::int64_t offset = first_element(kSize) + (dx.accumulate ? begin : 0);
  if (offset >= (dx.accumulate ? begin + dim : elements)) return;
  const bool picked = offset >= begin && offset < begin + dim;
  for (std::int64_t image = blockIdx.y; image < images; image += gridDim.y) {
    float values[kSize] = {};
    if (picked) load_floats<kSize>(dy + image * dim + offset - begin, values);
    dx.put(image * elements + offset, values);
  }
}

}  // namespace

void CudaBackend::prepend_token(const Tensor& patches, const Tensor& cls, const Tensor& positions,
                                Tensor& y) {
  const std::int64_t images = y.shape()[0], dim = y.shape()[2], elements = y.shape()[1] * dim;
  dispatch_dtype(y.dtype(), [&]<class T>(TypeTag<T>) {
    with_packs<T>(dim, aligned(patches.raw(), cls.raw(), positions.raw(), y.raw()), [&]<int kSize>() {
      launch(prepend<T, kSize>, image_grid(elements, kSize, images), kThreads, 0, stream(), images, elements,
             dim, patches.data<T>(), cls.data<T>(), positions.data<T>(), y.data<T>());
    });
  });
}

void CudaBackend::prepend_token_backward(const Tensor& dy, const Target& dpatches, const Target& dcls,
                                         const Target& dpositions) {
  const std::int64_t images = dy.shape()[0], dim = dy.shape()[2], elements = dy.shape()[1] * dim;
  dispatch_dtype(dy.dtype(), [&]<class T>(TypeTag<T>) {
    const Destination<T> to_patches(dpatches), to_cls(dcls), to_positions(dpositions);
    with_packs<T>(dim, aligned(dy.raw(), to_patches.data, to_cls.data, to_positions.data), [&]<int kSize>() {
      launch(prepend_gradients<T, kSize>, image_grid(elements, kSize, 1), kThreads, 0, stream(), images,
             elements, dim, dy.data<T>(), to_patches, to_cls, to_positions);
    });
  });
}

void CudaBackend::select_token(const Tensor& x, std::int64_t index, Tensor& y) {
  const std::int64_t images = x.shape()[0], dim = x.shape()[2], elements = x.shape()[1] * dim;
  dispatch_dtype(x.dtype(), [&]<class T>(TypeTag<T>) {
    with_packs<T>(dim, aligned(x.raw(), y.raw()), [&]<int kSize>() {
      launch(pick<T, kSize>, image_grid(dim, kSize, images), kThreads, 0, stream(), images, elements,
             index * dim, dim, x.data<T>(), y.data<T>());
    });
  });
}

void CudaBackend::select_token_backward(const Tensor& dy, std::int64_t index, const Target& dx) {
  if (!dx) return;
  const std::int64_t images = dy.shape()[0], dim = dy.shape()[1], elements = dx.dst.shape()[1] * dim;
  dispatch_dtype(dy.dtype(), [&]<class T>(TypeTag<T>) {
    with_packs<T>(dim, aligned(dy.raw(), dx.dst.raw()), [&]<int kSize>() {
      launch(put_back<T, kSize>, image_grid(dx.accumulate ? dim : elements, kSize, images), kThreads, 0,
             stream(), images, elements, index * dim, dim, dy.data<T>(), Destination<T>(dx));
    });
  });
}

}  // namespace sagitta::cuda
