#include "tensor/cpu/allocator.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "tensor/error.h"
#include "tensor/rounding.h"

namespace sagitta::cpu {

namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kGrowth = std::size_t{32} << 20;  // address space is made usable in steps of this
// Free pages go back to the system when they exceed this plus what the last window of allocations needed.
constexpr std::size_t kSlack = std::size_t{256} << 20;
constexpr std::size_t kWindow = 100000;

// Under AddressSanitizer every block comes from the system's allocator, so that a use after release is seen.
#ifdef __SANITIZE_ADDRESS__
constexpr bool kCaching = false;
#else
constexpr bool kCaching = true;
#endif

std::size_t block_size(std::size_t bytes) {
  return std::max(CachingAllocator::kGranule, round_up(bytes, CachingAllocator::kGranule));
}

}  // namespace

CachingAllocator::CachingAllocator(std::size_t capacity) : capacity_(round_up(capacity, kHugePage)) {
  if (!kCaching) return;
  if (capacity_ == 0) {
    const std::size_t pages = static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES));
    capacity_ = round_up(4 * pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), kHugePage);
  }
  // Addresses only: no memory stands behind them until grow() allows access. A limit on address space (ulimit
  // -v) is met by asking for less.
  void* range = MAP_FAILED;
  for (; capacity_ >= kHugePage; capacity_ = capacity_ / 2 / kHugePage * kHugePage) {
    range =
        mmap(nullptr, capacity_ + kHugePage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range != MAP_FAILED) break;
  }
  require(range != MAP_FAILED, "cpu memory: the system refuses to reserve any addresses; check `ulimit -v`");
  const std::size_t skip =
      round_up(reinterpret_cast<std::uintptr_t>(range), kHugePage) - reinterpret_cast<std::uintptr_t>(range);
  if (skip > 0) munmap(range, skip);
  base_ = static_cast<std::byte*>(range) + skip;
  if (skip < kHugePage) munmap(base_ + capacity_, kHugePage - skip);
}

CachingAllocator::~CachingAllocator() {
  if (base_ != nullptr) munmap(base_, capacity_);
}

void* CachingAllocator::allocate(std::size_t bytes) {
  const std::size_t size = block_size(bytes);
  require(size >= bytes, "cpu memory: {} bytes are more than any machine has", bytes);
  const std::lock_guard lock(mutex_);
  void* memory = kCaching ? take(size) : ::operator new (size, std::align_val_t{kGranule});
  use_.in_use += size;
  use_.peak = std::max(use_.peak, use_.in_use);
  use_.reserved = kCaching ? std::max(use_.reserved, use_.in_use) : use_.in_use;
  window_peak_ = std::max(window_peak_, use_.in_use);
  if (++calls_ == kWindow) {
    if (use_.reserved > 2 * window_peak_ + kSlack) trim_locked();
    calls_ = 0;
    window_peak_ = use_.in_use;
  }
  return memory;
}

void CachingAllocator::release(void* memory, std::size_t bytes) {
  const std::size_t size = block_size(bytes);
  const std::lock_guard lock(mutex_);
  use_.in_use -= size;
  if (kCaching) {
    insert_free(static_cast<std::size_t>(static_cast<std::byte*>(memory) - base_), size);
  } else {
    use_.reserved = use_.in_use;
    ::operator delete (memory, std::align_val_t{kGranule});
  }
}

MemoryUse CachingAllocator::use() const {
  const std::lock_guard lock(mutex_);
  return use_;
}

void CachingAllocator::trim() {
  const std::lock_guard lock(mutex_);
  if (kCaching) trim_locked();
}

void* CachingAllocator::take(std::size_t bytes) {
  const auto fit = by_size_.lower_bound({bytes, 0});
  if (fit != by_size_.end()) {
    const auto [size, offset] = *fit;
    erase_free(free_.find(offset));
    if (size > bytes) insert_free(offset + bytes, size - bytes);
    return base_ + offset;
  }
  // A free block at the very end is extended rather than left behind.
  std::size_t begin = top_;
  if (!free_.empty()) {
    const auto last = std::prev(free_.end());
    if (last->first + last->second == top_) begin = last->first;
  }
  grow(begin + bytes);
  if (begin < top_) erase_free(free_.find(begin));
  top_ = begin + bytes;
  return base_ + begin;
}

void CachingAllocator::grow(std::size_t top) {
  if (top > mapped_) {
    const std::size_t end = std::min(capacity_, round_up(top, kGrowth));
    const bool allowed =
        top <= capacity_ && mprotect(base_ + mapped_, end - mapped_, PROT_READ | PROT_WRITE) == 0;
    require(allowed,
            "cpu memory: {} MiB in use and {} MiB more are needed, which this machine does not have; use a "
            "smaller batch",
            use_.in_use >> 20, (top - std::min(top, use_.in_use)) >> 20);
    madvise(base_ + mapped_, end - mapped_,
            MADV_HUGEPAGE);  // a hint: without huge pages all works, only slower
    mapped_ = end;
  }
  use_.reserved = std::max(use_.reserved, top);
}

void CachingAllocator::insert_free(std::size_t offset, std::size_t bytes) {
  auto next = free_.lower_bound(offset);
  if (next != free_.end() && offset + bytes == next->first) {
    bytes += next->second;
    const auto merged = next++;
    erase_free(merged);
  }
  if (next != free_.begin()) {
    const auto previous = std::prev(next);
    if (previous->first + previous->second == offset) {
      offset = previous->first;
      bytes += previous->second;
      erase_free(previous);
    }
  }
  free_.emplace(offset, bytes);
  by_size_.emplace(bytes, offset);
}

void CachingAllocator::erase_free(std::map<std::size_t, std::size_t>::iterator block) {
  by_size_.erase({block->second, block->first});
  free_.erase(block);
}

void CachingAllocator::trim_locked() {
  std::size_t returned = 0;
  for (const auto& [offset, bytes] : free_) {
    const std::size_t begin = round_up(offset, kHugePage);
    const std::size_t end = (offset + bytes) / kHugePage * kHugePage;
    if (begin < end && madvise(base_ + begin, end - begin, MADV_DONTNEED) == 0) returned += end - begin;
  }
  use_.reserved = top_ - std::min(top_, returned);
}

}  // namespace sagitta::cpu
