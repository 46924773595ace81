// The building blocks of the tensor-core attention kernels: tiles from global to shared memory, products of
// 16-row fragments with a tile, and results back to global memory. cuda/tensor_core.cuh shows the fragments.
// All kernels have 4 warps; a warp owns 16 * kTiles rows of a matrix and meets the others only at barriers.
// Invariant: 16-bit tiles lie in shared memory as [rows][kDim + 8]. Rows are then an odd number of 16-byte
// units apart, so the eight rows that ldmatrix reads at once, or that a warp writes, fall into different
// banks.
#pragma once
#include <type_traits>

#include "cuda/flash_problem.cuh"
#include "cuda/launch.h"
#include "cuda/pack.cuh"
#include "cuda/reduce.cuh"
#include "cuda/tensor_core.cuh"
#include "cuda/types.cuh"

namespace sagitta::cuda {

inline constexpr int kFlashWarps = 4, kFlashThreads = kFlashWarps * kWarp;

template <int kDim>
inline constexpr int kTileStride = kDim + 8;

// Two to the power of x with a relative error of 2^-22; results below 2^-126 become 0.
__device__ inline float fast_exp2(float x) {
#ifdef __CUDACC__
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return exp2f(x);
#endif
}

// Walks down a matrix in global memory and brings [kRows, dim] of it at a time into a tile, in two halves:
// between fetch() and put() the data travel in registers while the kernel computes. Rows that do not exist
// and columns from dim on become zeros. dim is a multiple of 8 and all rows begin at multiples of 16 bytes.
// Neighboring threads load neighboring 16 bytes.
template <class T, int kRows, int kDim>
class TileLoader {
 public:
  // `source`: the first row; `stride`: elements from row to row.
  __device__ TileLoader(const T* source, int stride, int dim)
      : next_(source + row(0) * stride + column()), stride_(stride), dim_(dim) {}

  // `rows` are left.
  __device__ void fetch(int rows) {
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      const bool inside = row(i) < rows && column() < dim_;
      packs_[i] =
          inside ? *reinterpret_cast<const uint4*>(next_ + i * kRowStep * stride_) : uint4{0, 0, 0, 0};
    }
    next_ += kRows * stride_;
  }
  __device__ void put(T* tile) const {
#pragma unroll
    for (int i = 0; i < kPacks; ++i)
      *reinterpret_cast<uint4*>(tile + row(i) * kTileStride<kDim> + column()) = packs_[i];
  }

 private:
  static constexpr int kPacksPerRow = kDim / 8, kRowStep = kFlashThreads / kPacksPerRow;
  static constexpr int kPacks = kRows / kRowStep;
  static_assert(kRows % kRowStep == 0);

  __device__ static int row(int i) { return i * kRowStep + static_cast<int>(threadIdx.x) / kPacksPerRow; }
  __device__ static int column() { return static_cast<int>(threadIdx.x) % kPacksPerRow * 8; }

  const T* next_;
  int stride_, dim_;
  uint4 packs_[kPacks];
};

// Two matrices of a head that are read together: queries and their gradients, or keys and values.
template <class T>
struct MatrixPair {
  const T *first, *second;          // row 0
  int first_stride, second_stride;  // elements from row to row
};

// TileLoader for a pair. Its tiles lie one behind the other.
template <class T, int kRows, int kDim>
class PairLoader {
 public:
  __device__ PairLoader(const MatrixPair<T>& pair, int row, int dim)
      : first_(pair.first + row * pair.first_stride, pair.first_stride, dim),
        second_(pair.second + row * pair.second_stride, pair.second_stride, dim) {}
  __device__ void fetch(int rows) {
    first_.fetch(rows);
    second_.fetch(rows);
  }
  __device__ void put(T* tiles) const {
    first_.put(tiles);
    second_.put(tiles + kRows * kTileStride<kDim>);
  }

 private:
  TileLoader<T, kRows, kDim> first_, second_;
};

// One 16 x 16 piece of a left operand.
struct Fragment {
  std::uint32_t value[4];
};

// The 16 * kTiles rows that a warp owns, left operand of many products. Here they stay in shared memory.
template <class T, int kTiles, int kDim>
class SharedRows {
 public:
  __device__ void load(const T* rows) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    mine_ = rows + lane % 16 * kTileStride<kDim> + lane / 16 * 8;
  }
  __device__ Fragment get(int tile, int k) const {
    Fragment fragment;
    ldmatrix_x4(fragment.value, mine_ + tile * 16 * kTileStride<kDim> + k * 16);
    return fragment;
  }

 private:
  const T* mine_;
};

// The same in registers: the tile may be overwritten once all warps have loaded.
template <class T, int kTiles, int kDim>
class RegisterRows {
 public:
  __device__ void load(const T* rows) {
    SharedRows<T, kTiles, kDim> shared;
    shared.load(rows);
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
      for (int k = 0; k < kDim / 16; ++k) fragments_[tile][k] = shared.get(tile, k);
  }
  __device__ const Fragment& get(int tile, int k) const { return fragments_[tile][k]; }

 private:
  Fragment fragments_[kTiles][kDim / 16];
};

// c[.][first] and c[.][first + 1] += a b^T, where b points at 16 rows of a tile: 16 columns of the result, 8
// per fragment.
template <class T, int kTiles, int kDim, int kColumns, template <class, int, int> class Rows>
__device__ inline void multiply_by_rows(const Rows<T, kTiles, kDim>& a, const T* b, int first,
                                        float (&c)[kTiles][kColumns][4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const T* const mine = b + (lane / 16 * 8 + lane % 8) * kTileStride<kDim> + lane / 8 % 2 * 8;
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    std::uint32_t columns[4];
    ldmatrix_x4(columns, mine + k * 16);
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const Fragment fragment = a.get(tile, k);
      mma_m16n8k16<T>(c[tile][first], fragment.value, columns[0], columns[1]);
      mma_m16n8k16<T>(c[tile][first + 1], fragment.value, columns[2], columns[3]);
    }
  }
}

// c += a b, where b points at 16 rows of a tile: 16 terms of every sum.
template <int kDim, class T, int kTiles>
__device__ inline void multiply_by_columns(const Fragment (&a)[kTiles], const T* b,
                                           float (&c)[kTiles][kDim / 8][4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const T* const mine = b + lane % 16 * kTileStride<kDim> + lane / 16 * 8;
#pragma unroll
  for (int n = 0; n < kDim / 16; ++n) {
    std::uint32_t columns[4];
    ldmatrix_x4_trans(columns, mine + n * 16);
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      mma_m16n8k16<T>(c[tile][2 * n], a[tile].value, columns[0], columns[1]);
      mma_m16n8k16<T>(c[tile][2 * n + 1], a[tile].value, columns[2], columns[3]);
    }
  }
}

// Sixteen columns of a result become the left operand of the next product without leaving the registers: a
// result and an operand hold the same rows and columns in the same lane.
template <class T>
__device__ inline Fragment as_operand(const float (&left)[4], const float (&right)[4]) {
  return {{pack2<T>(left[0], left[1]), pack2<T>(left[2], left[3]), pack2<T>(right[0], right[1]),
           pack2<T>(right[2], right[3])}};
}

// Where element i of a lane's 8-column fragments lies; fragment n begins at column 8 n and element 4 n.
__device__ inline int fragment_row(int element) {
  return static_cast<int>(threadIdx.x) % kWarp / 4 + element / 2 % 2 * 8;
}
__device__ inline int fragment_column(int element) {
  return element / 4 * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + element % 2;
}

// Floats of shared memory that a warp needs in store_rows.
template <int kTiles, int kDim>
inline constexpr int kStagingFloats = 16 * kTiles* kTileStride<kDim>;

// Writes a warp's result, times factor, to `rows` rows of dim elements, `stride` apart. The fragments pass
// through `staging`, memory of this warp alone, so that a lane writes 8 neighboring elements at once.
template <class T, int kTiles, int kDim>
__device__ inline void store_rows(const float (&c)[kTiles][kDim / 8][4], float factor, float* staging,
                                  T* destination, int stride, int rows, int dim, bool accumulate) {
  constexpr int kPacksPerRow = kDim / 8;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, group = lane / 4, pair = lane % 4 * 2;
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile)
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        *reinterpret_cast<float2*>(staging + (tile * 16 + half * 8 + group) * kTileStride<kDim> + n * 8 +
                                   pair) =
            make_float2(c[tile][n][2 * half] * factor, c[tile][n][2 * half + 1] * factor);
  __syncwarp();
  for (int pack = lane; pack < 16 * kTiles * kPacksPerRow; pack += kWarp) {
    const int row = pack / kPacksPerRow, column = pack % kPacksPerRow * 8;
    if (row >= rows || column >= dim) continue;
    const auto* const packs = reinterpret_cast<const float4*>(staging + row * kTileStride<kDim> + column);
    const float4 left = packs[0], right = packs[1];
    float values[8] = {left.x, left.y, left.z, left.w, right.x, right.y, right.z, right.w};
    store_target<8>(destination + row * stride + column, values, accumulate);
  }
  __syncwarp();
}

// Whether the tensor-core kernels can take the problem: 16-bit data in rows of whole 16-byte units.
template <class... Tensors>
bool tensor_cores_fit(int dim, const Tensor& first, const Tensors&... others) {
  return first.dtype() != DType::f32 && dim % 8 == 0 && dim <= 128 && aligned(first.raw(), others.raw()...);
}

// One instantiation of a kernel.
template <class Element, int kPaddedDim, bool kMasked>
struct FlashVariant {};

// Calls function(FlashVariant<T, kDim, kDropout>{}) for a 16-bit dtype: heads are padded to 32, 64 or 128.
template <class Function>
void dispatch_flash(DType dtype, const FlashProblem& problem, const Function& function) {
  const auto with_dim = [&]<class T, bool kDropout>(TypeTag<T>, std::bool_constant<kDropout>) {
    if (problem.dim <= 32) return function(FlashVariant<T, 32, kDropout>{});
    if (problem.dim <= 64) return function(FlashVariant<T, 64, kDropout>{});
    return function(FlashVariant<T, 128, kDropout>{});
  };
  const auto with_dropout = [&]<class T>(TypeTag<T> type) {
    if (problem.drop_below > 0) return with_dim(type, std::true_type{});
    return with_dim(type, std::false_type{});
  };
  if (dtype == DType::bf16) return with_dropout(TypeTag<__nv_bfloat16>{});
  return with_dropout(TypeTag<__half>{});
}

}  // namespace sagitta::cuda
