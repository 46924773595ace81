// The memory of a GPU: blocks that are reused, cut and merged, and pools that keep theirs to themselves.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>

#include "cuda/allocator.h"

using sagitta::cuda::Allocator;

namespace {

constexpr std::size_t kMebi = std::size_t{1} << 20;
constexpr std::size_t kSegment = 32 * kMebi;  // the smallest of large requests

// What is reserved when caching; otherwise each block is an allocation of its own.
std::size_t reserved(const Allocator& allocator, std::size_t blocks) {
  return Allocator::kCaching ? allocator.use().reserved : blocks;
}

}  // namespace

TEST_CASE("allocator: released memory is handed out again, cut and merged") {
  Allocator allocator;
  void* const first = allocator.allocate(3 * kMebi);
  void* const second = allocator.allocate(5 * kMebi);
  CHECK(first != second);
  CHECK(allocator.use().in_use == 8 * kMebi);
  CHECK(reserved(allocator, kSegment) == kSegment);
  allocator.release(first, 3 * kMebi);
  CHECK(allocator.use().in_use == 5 * kMebi);
  if (Allocator::kCaching) {
    CHECK(reinterpret_cast<std::uintptr_t>(second) % 256 == 0);
    CHECK(allocator.allocate(3 * kMebi) == first);
    allocator.release(first, 3 * kMebi);
  }
  allocator.release(second, 5 * kMebi);
  void* const whole = allocator.allocate(kSegment);
  CHECK(reserved(allocator, kSegment) == kSegment);
  if (Allocator::kCaching) CHECK(whole == first);
  allocator.release(whole, kSegment);
  CHECK(allocator.use().in_use == 0);
  CHECK(allocator.use().peak == kSegment);
}

TEST_CASE("allocator: small requests share segments of their own") {
  Allocator allocator;
  void* const large = allocator.allocate(2 * kMebi);
  void* const small = allocator.allocate(1);
  void* const none = allocator.allocate(0);
  CHECK(small != none);
  CHECK(reserved(allocator, kSegment + 2 * kMebi) == kSegment + 2 * kMebi);
  for (void* const memory : {large, small, none}) allocator.release(memory, 0);
  CHECK(allocator.use().in_use == 0);
}

TEST_CASE("allocator: nobody else gets the memory of a pool, and it goes back with the pool") {
  Allocator allocator;
  auto pool = allocator.make_pool();
  void* kept = nullptr;
  {
    const Allocator::PoolScope scope(allocator, *pool);
    allocator.release(allocator.allocate(kMebi), kMebi);
    kept = allocator.allocate(kMebi);
  }
  void* const outside = allocator.allocate(kMebi);
  CHECK(reserved(allocator, 2 * kSegment) == 2 * kSegment);
  pool.reset();  // a block outlives its pool
  CHECK(reserved(allocator, 2 * kSegment) == 2 * kSegment);
  allocator.release(kept, kMebi);
  CHECK(reserved(allocator, kSegment) == kSegment);
  allocator.release(outside, kMebi);
}

TEST_CASE("allocator: trimming a pool returns what is free in it, and nothing else") {
  Allocator allocator;
  const auto pool = allocator.make_pool();
  void* const outside = allocator.allocate(kMebi);
  allocator.release(outside, kMebi);
  void* kept = nullptr;
  {
    const Allocator::PoolScope scope(allocator, *pool);
    kept = allocator.allocate(2 * kSegment);
    allocator.release(allocator.allocate(3 * kSegment), 3 * kSegment);
  }
  CHECK(reserved(allocator, 6 * kSegment) == 6 * kSegment);
  allocator.trim(*pool);
  CHECK(reserved(allocator, 3 * kSegment) == 3 * kSegment);
  CHECK(allocator.use().in_use == 2 * kSegment);
  allocator.release(kept, 2 * kSegment);
  allocator.trim(*pool);
  CHECK(allocator.use().reserved == (Allocator::kCaching ? kSegment : 0));
}
