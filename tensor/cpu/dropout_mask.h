// Dropout masks from the counter-based generator, four elements per Philox block.
#pragma once
#include <cstdint>
#include <cstring>

#include "tensor/op_params.h"
#include "tensor/tensor.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

// The StepState behind its u8 tensor; the default state when the tensor is empty.
inline StepState read_state(const Tensor& state) {
  StepState value;
  if (state) std::memcpy(&value, state.raw(), sizeof value);
  return value;
}

// Calls visit(i, keep) for i in [0, n): keep is random::uniform(key, first + i) >= p.
template <class Visit>
void visit_mask(random::Key key, std::uint64_t first, std::int64_t n, double p, const Visit& visit) {
  const std::uint64_t high = (static_cast<std::uint64_t>(key.stream) << 32) | key.step;
  const std::uint64_t end = first + static_cast<std::uint64_t>(n);
  for (std::uint64_t block = first >> 2; block << 2 < end; ++block) {
    const random::Block words = random::philox(key.seed, block, high);
    for (std::uint64_t lane = 0; lane < 4; ++lane) {
      const std::uint64_t index = (block << 2) + lane;
      const float uniform = static_cast<float>(words.word[lane] >> 8) * 0x1p-24f;
      if (index >= first && index < end) visit(static_cast<std::int64_t>(index - first), uniform >= p);
    }
  }
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
