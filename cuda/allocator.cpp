#include "cuda/allocator.h"

#include <cuda_runtime.h>

#include <algorithm>

#include "cuda/check.h"
#include "tensor/rounding.h"

namespace sagitta::cuda {
namespace {

constexpr std::size_t kMebi = std::size_t{1} << 20;
constexpr std::size_t kSmall = kMebi;  // requests below this share segments
constexpr std::size_t kSmallSegment = 2 * kMebi;
constexpr std::size_t kLargeSegment =
    32 * kMebi;  // at least; larger requests get a segment of their own size

std::size_t block_size(std::size_t bytes) {
  if (!Allocator::kCaching) return std::max<std::size_t>(bytes, 1);
  return std::max(Allocator::kGranule, round_up(bytes, Allocator::kGranule));
}

std::size_t segment_size(std::size_t bytes) {
  if (!Allocator::kCaching) return bytes;
  if (bytes < kSmall) return kSmallSegment;
  return std::max(kLargeSegment, round_up(bytes, kSmallSegment));
}

}  // namespace

Allocator::~Allocator() {
  for (const auto& [address, block] : blocks_)
    if (block.starts_segment) cudaFree(address);
}

void* Allocator::allocate(std::size_t bytes) {
  const std::size_t wanted = block_size(bytes);
  const std::lock_guard lock(mutex_);
  auto found = find_free(wanted);
  if (found == blocks_.end()) found = grow(wanted);
  Block& block = found->second;
  Pool& pool = *block.pool;
  pool.free[block.small].erase({block.bytes, found->first});
  block.free = false;
  ++pool.blocks_in_use;
  if (block.bytes > wanted) {
    Block rest = block;
    rest.bytes -= wanted;
    rest.free = true;
    rest.starts_segment = false;
    block.bytes = wanted;
    const auto placed = blocks_.emplace_hint(std::next(found), found->first + wanted, rest);
    pool.free[rest.small].emplace(rest.bytes, placed->first);
  }
  use_.in_use += wanted;
  use_.peak = std::max(use_.peak, use_.in_use);
  return found->first;
}

void Allocator::release(void* memory, std::size_t) {
  const std::lock_guard lock(mutex_);
  const auto block = blocks_.find(static_cast<std::byte*>(memory));
  use_.in_use -= block->second.bytes;
  Pool* pool = block->second.pool;
  --pool->blocks_in_use;
  put_back(block);
  if (pool->retired && pool->blocks_in_use == 0) {
    return_free_segments(*pool);
    private_pools_.erase(pool);
  } else if (!kCaching && pool == &shared_) {
    return_free_segments(*pool);
  }
}

MemoryUse Allocator::use() const {
  const std::lock_guard lock(mutex_);
  return use_;
}

std::shared_ptr<Allocator::Pool> Allocator::make_pool() {
  const std::lock_guard lock(mutex_);
  auto owned = std::make_unique<Pool>();
  Pool* pool = owned.get();
  private_pools_.emplace(pool, std::move(owned));
  return {pool, [this](Pool* p) { retire(p); }};
}

void Allocator::trim(Pool& pool) {
  const std::lock_guard lock(mutex_);
  return_free_segments(pool);
}

void Allocator::retire(Pool* pool) {
  const std::lock_guard lock(mutex_);
  pool->retired = true;
  if (pool->blocks_in_use > 0) return;  // the last release() does it
  return_free_segments(*pool);
  private_pools_.erase(pool);
}

Allocator::PoolScope::PoolScope(Allocator& allocator, Pool& pool)
    : allocator_(allocator), previous_(std::exchange(allocator.current_, &pool)) {}
Allocator::PoolScope::~PoolScope() { allocator_.current_ = previous_; }

// The smallest free block that is large enough.
Allocator::Blocks::iterator Allocator::find_free(std::size_t bytes) {
  const Pool::FreeList& list = current_->free[bytes < kSmall];
  const auto found = list.lower_bound({bytes, nullptr});
  if (found == list.end() || (!kCaching && found->first != bytes)) return blocks_.end();
  return blocks_.find(found->second);
}

// A new segment as one free block.
Allocator::Blocks::iterator Allocator::grow(std::size_t bytes) {
  const std::size_t segment = segment_size(bytes);
  void* memory = nullptr;
  if (cudaMalloc(&memory, segment) != cudaSuccess) {
    cudaGetLastError();  // forget it: the second attempt counts
    return_free_segments(shared_);
    if (const cudaError_t status = cudaMalloc(&memory, segment); status != cudaSuccess) {
      cudaGetLastError();
      fail(
          "cuda: {:.0f} MB do not fit into the GPU's memory beside the {:.0f} MB in use ({}); use a smaller "
          "batch, a 16-bit --precision, or --recompute",
          static_cast<double>(segment) / 1e6, static_cast<double>(use_.in_use) / 1e6,
          cudaGetErrorString(status));
    }
  }
  use_.reserved += segment;
  const bool small = bytes < kSmall;
  const auto block =
      blocks_
          .emplace(
              static_cast<std::byte*>(memory),
              Block{.bytes = segment, .pool = current_, .free = true, .starts_segment = true, .small = small})
          .first;
  current_->free[small].emplace(segment, block->first);
  return block;
}

// Frees a block and merges it with free neighbors of its segment.
void Allocator::put_back(Blocks::iterator block) {
  Pool::FreeList& list = block->second.pool->free[block->second.small];
  block->second.free = true;
  if (const auto next = std::next(block);
      next != blocks_.end() && next->second.free && !next->second.starts_segment) {
    list.erase({next->second.bytes, next->first});
    block->second.bytes += next->second.bytes;
    blocks_.erase(next);
  }
  if (!block->second.starts_segment) {
    const auto previous = std::prev(block);
    if (previous->second.free) {
      list.erase({previous->second.bytes, previous->first});
      previous->second.bytes += block->second.bytes;
      blocks_.erase(block);
      block = previous;
    }
  }
  list.emplace(block->second.bytes, block->first);
}

// Gives the segments that are entirely free back to the driver.
void Allocator::return_free_segments(Pool& pool) {
  for (auto block = blocks_.begin(); block != blocks_.end();) {
    const auto next = std::next(block);
    const bool whole = block->second.starts_segment && (next == blocks_.end() || next->second.starts_segment);
    if (block->second.pool == &pool && block->second.free && whole) {
      pool.free[block->second.small].erase({block->second.bytes, block->first});
      use_.reserved -= block->second.bytes;
      check(cudaFree(block->first));
      blocks_.erase(block);
    }
    block = next;
  }
}

}  // namespace sagitta::cuda
