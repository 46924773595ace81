// Barriers, shuffles and votes: CUDA's names over the scheduler's two ways of waiting.
#pragma once
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "cuda/emulator/scheduler.h"

namespace sagitta::cuda::emulator {

// The bits that lane `source` gave: garbage when that lane takes no part.
std::uint64_t shuffle_bits(unsigned mask, std::uint64_t bits, unsigned source,
                           const std::source_location& where);
// For which lanes of `mask` the predicate held.
unsigned vote(unsigned mask, bool predicate, const std::source_location& where);

template <class T>
T shuffle(unsigned mask, T value, unsigned source, const std::source_location& where) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = shuffle_bits(mask, bits, source, where);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

// The first and the last lane of the running lane's segment of `width` lanes.
inline unsigned segment_begin(int width) { return lane() & ~(static_cast<unsigned>(width) - 1); }
inline unsigned segment_last(int width) { return lane() | (static_cast<unsigned>(width) - 1); }

}  // namespace sagitta::cuda::emulator

inline void __syncthreads(std::source_location where = std::source_location::current()) {
  sagitta::cuda::emulator::join_block(false, where);
}
inline int __syncthreads_count(int predicate, std::source_location where = std::source_location::current()) {
  return sagitta::cuda::emulator::join_block(predicate != 0, where);
}
inline int __syncthreads_or(int predicate, std::source_location where = std::source_location::current()) {
  return sagitta::cuda::emulator::join_block(predicate != 0, where) != 0;
}
inline int __syncthreads_and(int predicate, std::source_location where = std::source_location::current()) {
  return sagitta::cuda::emulator::join_block(predicate == 0, where) == 0;
}
inline void __syncwarp(unsigned mask = ~0U, std::source_location where = std::source_location::current()) {
  sagitta::cuda::emulator::join_warp(mask, nullptr, nullptr, true, where);
}

// The lane read from, and the cases in which a lane reads itself, are those of PTX's shfl.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize,
              std::source_location where = std::source_location::current()) {
  namespace emulator = sagitta::cuda::emulator;
  const unsigned in_segment = static_cast<unsigned>(source) & (static_cast<unsigned>(width) - 1);
  return emulator::shuffle(mask, value, emulator::segment_begin(width) | in_segment, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = warpSize,
                  std::source_location where = std::source_location::current()) {
  namespace emulator = sagitta::cuda::emulator;
  const unsigned source = emulator::lane() ^ (static_cast<unsigned>(lane_mask) & 31U);
  return emulator::shuffle(mask, value, source <= emulator::segment_last(width) ? source : emulator::lane(),
                           where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                   std::source_location where = std::source_location::current()) {
  namespace emulator = sagitta::cuda::emulator;
  const unsigned source = emulator::lane() + (delta & 31U);
  return emulator::shuffle(mask, value, source <= emulator::segment_last(width) ? source : emulator::lane(),
                           where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                 std::source_location where = std::source_location::current()) {
  namespace emulator = sagitta::cuda::emulator;
  const bool inside = emulator::lane() >= emulator::segment_begin(width) + (delta & 31U);
  return emulator::shuffle(mask, value, inside ? emulator::lane() - (delta & 31U) : emulator::lane(), where);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              std::source_location where = std::source_location::current()) {
  return sagitta::cuda::emulator::vote(mask, predicate != 0, where);
}
inline int __any_sync(unsigned mask, int predicate,
                      std::source_location where = std::source_location::current()) {
  return sagitta::cuda::emulator::vote(mask, predicate != 0, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate,
                      std::source_location where = std::source_location::current()) {
  return sagitta::cuda::emulator::vote(mask, predicate == 0, where) == 0;
}

inline void __threadfence() { sagitta::cuda::emulator::fence(); }
inline void __threadfence_block() { sagitta::cuda::emulator::fence(); }
