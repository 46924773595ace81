// How much of the FMA peak the innermost loop of all products reaches: whether the compiler still makes of it
// what it is meant to be. No packing and no waiting for memory is in it, unlike in a whole product.
#pragma once
#include <string_view>

namespace sagitta::bench {

struct TileSpeed {
  int rows = 0, columns = 0;  // of the tile
  // Parts of the FMA peak, with panels that lie in the L1 cache and with the longest panels of a product,
  // which lie in the L2 cache.
  double l1_share = 0, l2_share = 0;
};

struct TileSpeeds {
  double fma_peak = 0;  // with this instruction set, in f32; half of it in f64. FLOP per second, all threads
  TileSpeed f32, f64;
};

// All threads at once and each by itself, as fma_peak() does, its multiply-adds and the products in turn;
// each turn gives a share, and their median counts. Takes about `budget` seconds. `isa` is one of
// cpu_instruction_sets().
TileSpeeds tile_speeds(std::string_view isa, double budget);

}  // namespace sagitta::bench
