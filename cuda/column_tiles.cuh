// A [rows, columns] matrix cut into tiles, one per block, for kernels that add up or scale columns.
// Every thread owns one pack of neighboring columns and walks down (or up) some of the tile's rows, so what
// belongs to a column stays in its registers; a warp touches 512 neighboring bytes. Invariant: the cut
// depends on the shape alone, so sums over it have the same order, hence the same bits, in every run.
#pragma once
#include <algorithm>

#include "cuda/pack.cuh"

namespace sagitta::cuda {

// Multiprocessors of the GPU that grid sizes are tuned for (H100). Not asked of the device: see the
// invariant.
inline constexpr int kMultiprocessors = 132;

struct ColumnTiles {
  std::int64_t rows = 0, columns = 0;
  std::int64_t tile_rows = 0;  // of one tile, the last may have fewer
  int width = 1;               // threads side by side: a power of two, at most 32
  int threads = 0;             // of a block; threads / width of them stand below each other
  int column_tiles = 1, row_tiles = 1;

  dim3 grid() const { return {static_cast<unsigned>(column_tiles), static_cast<unsigned>(row_tiles), 1}; }
};

// Cuts for blocks of `threads`, packs of `pack` columns, and about `max_blocks` blocks in all: as many as run
// at the same time, so that none is left over for a second, half-empty round.
inline ColumnTiles cut_columns(std::int64_t rows, std::int64_t columns, int pack, int threads,
                               int max_blocks) {
  ColumnTiles tiles{.rows = rows, .columns = columns, .threads = threads};
  const std::int64_t packs = ceil_div(columns, pack);
  while (tiles.width < 32 && tiles.width < packs) tiles.width *= 2;
  tiles.column_tiles = static_cast<int>(ceil_div(packs, tiles.width));
  const std::int64_t step = threads / tiles.width;  // rows that a block touches at once
  const std::int64_t wanted = std::clamp<std::int64_t>(max_blocks / tiles.column_tiles, 1,
                                                       std::max<std::int64_t>(1, rows / (2 * step)));
  tiles.tile_rows = round_up(ceil_div(rows, wanted), step);
  tiles.row_tiles = static_cast<int>(ceil_div(rows, std::max<std::int64_t>(1, tiles.tile_rows)));
  return tiles;
}

// What one thread does in its tile: `count` packs of the same columns, the first at element `begin` of the
// matrix, each `stride` elements after the one before. Threads beyond the last column have count 0.
struct ColumnWalk {
  std::int64_t column, begin, stride;
  int count;

  __device__ ColumnWalk(const ColumnTiles& tiles, int pack) {
    const int x = static_cast<int>(threadIdx.x) % tiles.width,
              y = static_cast<int>(threadIdx.x) / tiles.width;
    const int step = tiles.threads / tiles.width;
    const std::int64_t row = blockIdx.y * tiles.tile_rows + y;
    const std::int64_t end = min((blockIdx.y + 1) * tiles.tile_rows, tiles.rows);
    column = (static_cast<std::int64_t>(blockIdx.x) * tiles.width + x) * pack;
    begin = row * tiles.columns + column;
    stride = step * tiles.columns;
    count = column < tiles.columns && row < end ? static_cast<int>((end - row + step - 1) / step) : 0;
  }

  // Calls body.operator()<n>(index) for n packs at a time (at index, index + stride, ...; n is kPacks and
  // finally 1), so that the loads of kPacks packs are under way at once.
  template <int kPacks, class Body>
  __device__ void down(const Body& body) const {
    std::int64_t index = begin;
    int left = count;
    for (; left >= kPacks; left -= kPacks, index += kPacks * stride) body.template operator()<kPacks>(index);
    for (; left > 0; --left, index += stride) body.template operator()<1>(index);
  }

  // The same from the last to the first. A second pass over a matrix that goes this way meets first what the
  // first pass left in the L2 cache.
  template <int kPacks, class Body>
  __device__ void up(const Body& body) const {
    std::int64_t index = begin + count * stride;
    int left = count;
    for (; left >= kPacks; left -= kPacks) body.template operator()<kPacks>(index -= kPacks * stride);
    for (; left > 0; --left) body.template operator()<1>(index -= stride);
  }
};

// Joins the values of all threads of a block that own the same columns: a tree over the rows, whose result
// the threads of the first row (threadIdx.x < width) receive. merge(mine, other) folds `other` into `mine`.
// Once per kernel: a second call would overwrite what slow threads of the first still read.
template <int kThreads, int kValues, class Merge>
__device__ inline void join_rows(int width, float (&values)[kValues], const Merge& merge) {
  __shared__ float shared[kValues][kThreads];
  const int thread = static_cast<int>(threadIdx.x), row = thread / width;
#pragma unroll
  for (int i = 0; i < kValues; ++i) shared[i][thread] = values[i];
  for (int half = kThreads / width / 2; half > 0; half /= 2) {
    __syncthreads();
    if (row >= half) continue;
    float other[kValues];
#pragma unroll
    for (int i = 0; i < kValues; ++i) other[i] = shared[i][thread + half * width];
    merge(values, other);
#pragma unroll
    for (int i = 0; i < kValues; ++i) shared[i][thread] = values[i];
  }
}

struct AddValues {
  template <int kValues>
  __device__ void operator()(float (&values)[kValues], const float (&other)[kValues]) const {
#pragma unroll
    for (int i = 0; i < kValues; ++i) values[i] += other[i];
  }
};

// Per-tile results [tiles, columns] are joined by blocks of kJoinThreads: 32 columns side by side, the tiles
// dealt out to the rows of threads.
inline constexpr int kJoinThreads = 512;
inline dim3 join_grid(std::int64_t columns) { return {static_cast<unsigned>(ceil_div(columns, 32)), 1, 1}; }

// Two values for each of a thread's columns, which join_rows has left with the threads of the first row -
// kSize of one kind, then kSize of the other - go to partials [row tiles, 2, columns].
template <int kSize>
__device__ inline void store_pairs(const ColumnTiles& tiles, const ColumnWalk& walk, const float* values,
                                   float* partials) {
  if (static_cast<int>(threadIdx.x) >= tiles.width || walk.count == 0) return;
  float* partial = partials + 2 * blockIdx.y * tiles.columns + walk.column;
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    partial[i] = values[i];
    partial[tiles.columns + i] = values[kSize + i];
  }
}

// The sums of such pairs of one column over all row tiles, for a kernel of join_grid; the first 32 threads
// receive them.
__device__ inline void join_pairs(std::int64_t row_tiles, std::int64_t columns, std::int64_t column,
                                  const float* partials, float (&sums)[2]) {
  if (column < columns)
#pragma unroll 4
    for (std::int64_t tile = threadIdx.x / 32; tile < row_tiles; tile += kJoinThreads / 32) {
      const float* partial = partials + 2 * tile * columns + column;
      sums[0] += partial[0];
      sums[1] += partial[columns];
    }
  join_rows<kJoinThreads>(32, sums, AddValues{});
}

// kSize floats of a per-column vector (aligned to 16 bytes when kSize > 1).
template <int kSize>
__device__ inline void load_columns(const float* source, float (&values)[kSize]) {
  if constexpr (kSize <= 4) {
    load_floats<kSize>(source, values);
  } else {
#pragma unroll
    for (int i = 0; i < kSize; i += 4) {
      float part[4];
      load_floats<4>(source + i, part);
#pragma unroll
      for (int j = 0; j < 4; ++j) values[i + j] = part[j];
    }
  }
}

}  // namespace sagitta::cuda
