#include "cuda/emulator/warp.h"

#include <bit>

namespace sagitta::cuda::emulator {
namespace {

struct ShuffleRecord {
  std::uint64_t value;
  unsigned source;
  std::uint64_t result;
};

struct VoteRecord {
  bool predicate;
  unsigned result;
};

void combine_shuffle(void* const* records, unsigned lanes) {
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    auto& to = *static_cast<ShuffleRecord*>(records[std::countr_zero(rest)]);
    to.result =
        (lanes >> to.source & 1U) != 0 ? static_cast<const ShuffleRecord*>(records[to.source])->value : ~0ULL;
  }
}

void combine_vote(void* const* records, unsigned lanes) {
  unsigned ballot = 0;
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1)
    if (static_cast<const VoteRecord*>(records[std::countr_zero(rest)])->predicate) ballot |= rest & -rest;
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1)
    static_cast<VoteRecord*>(records[std::countr_zero(rest)])->result = ballot;
}

}  // namespace

std::uint64_t shuffle_bits(unsigned mask, std::uint64_t bits, unsigned source,
                           const std::source_location& where) {
  ShuffleRecord record{bits, source, 0};
  join_warp(mask, &combine_shuffle, &record, false, where);
  return record.result;
}

unsigned vote(unsigned mask, bool predicate, const std::source_location& where) {
  VoteRecord record{predicate, 0};
  join_warp(mask, &combine_vote, &record, false, where);
  return record.result;
}

}  // namespace sagitta::cuda::emulator
