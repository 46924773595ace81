// Counter-based random numbers: the same number on any device, for any thread count, and after a resume.
// A number is a pure function of (seed, stream, step, index): no generator state exists. The cipher is
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
#pragma once
#include <cstdint>

#include "tensor/host_device.h"

namespace sagitta::random {

struct Block {
  std::uint32_t word[4];
};

// Four random words for a 128-bit counter under a 64-bit key.
SAGITTA_HOST_DEVICE inline Block philox(std::uint64_t key, std::uint64_t counter_low,
                                        std::uint64_t counter_high) {
  std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  Block x{{static_cast<std::uint32_t>(counter_low), static_cast<std::uint32_t>(counter_low >> 32),
           static_cast<std::uint32_t>(counter_high), static_cast<std::uint32_t>(counter_high >> 32)}};
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * x.word[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * x.word[2];
    x = {{static_cast<std::uint32_t>(p1 >> 32) ^ x.word[1] ^ k0, static_cast<std::uint32_t>(p1),
          static_cast<std::uint32_t>(p0 >> 32) ^ x.word[3] ^ k1, static_cast<std::uint32_t>(p0)}};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return x;
}

// What a number belongs to. `stream` separates independent uses (each dropout layer, each initialized
// parameter), `step` the micro-steps of a training run.
struct Key {
  std::uint64_t seed = 0;
  std::uint32_t stream = 0;
  std::uint32_t step = 0;
};

// The random word of element `index`.
SAGITTA_HOST_DEVICE inline std::uint32_t bits(Key key, std::uint64_t index) {
  const std::uint64_t high = (static_cast<std::uint64_t>(key.stream) << 32) | key.step;
  return philox(key.seed, index >> 2, high).word[index & 3];
}

// Uniform in [0, 1) with 24 random bits: exact in f32, so every dtype draws the same number.
SAGITTA_HOST_DEVICE inline float uniform(Key key, std::uint64_t index) {
  return static_cast<float>(bits(key, index) >> 8) * 0x1p-24f;
}

// Standard normal number for element `index` (Box-Muller on 2 x 32 bits). Host only: initialization uses it.
double normal(Key key, std::uint64_t index);

}  // namespace sagitta::random
