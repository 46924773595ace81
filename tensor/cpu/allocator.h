// CachingAllocator: the memory under all CPU tensors.
// One contiguous range of addresses is reserved up front and grown into; freed blocks are kept, merged with
// free neighbors and handed out best-fit, so a training step that repeats its sizes makes no system call and
// takes no page faults (the range is backed by huge pages where the kernel has them). A block is cut to the
// request: waste is below one granule plus what lies between blocks. Invariant: the free blocks are disjoint,
// never adjacent, and together with the blocks in use cover [0, top).
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "tensor/backend.h"

namespace sagitta::cpu {

class CachingAllocator {
 public:
  // Blocks are multiples of this, and aligned to it.
  static constexpr std::size_t kGranule = 64;

  // `capacity`: the largest total that can ever be in use, 0 for four times the machine's memory.
  explicit CachingAllocator(std::size_t capacity = 0);
  ~CachingAllocator();
  CachingAllocator(const CachingAllocator&) = delete;
  CachingAllocator& operator=(const CachingAllocator&) = delete;

  // Uninitialized memory; 0 bytes is allowed. Throws sagitta::Error when the machine has no more.
  // Thread-safe.
  void* allocate(std::size_t bytes);
  // Takes back what allocate(bytes) returned. Thread-safe.
  void release(void* memory, std::size_t bytes);
  MemoryUse use() const;
  // Gives the pages of every free block back to the system.
  void trim();

 private:
  void* take(std::size_t bytes);
  void grow(std::size_t top);
  void insert_free(std::size_t offset, std::size_t bytes);
  void erase_free(std::map<std::size_t, std::size_t>::iterator block);
  void trim_locked();

  mutable std::mutex mutex_;
  std::byte* base_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t top_ = 0;                                    // bytes ever handed out
  std::size_t mapped_ = 0;                                 // bytes with read and write permission
  std::map<std::size_t, std::size_t> free_;                // offset -> bytes
  std::set<std::pair<std::size_t, std::size_t>> by_size_;  // (bytes, offset) of the same blocks
  MemoryUse use_;
  std::size_t calls_ = 0;        // allocations in the present window
  std::size_t window_peak_ = 0;  // most bytes in use in the present window
};

// Memory from an allocator for the length of a scope: the scratch of a kernel.
template <class T>
class Scratch {
 public:
  Scratch(CachingAllocator& allocator, std::int64_t count)
      : allocator_(allocator),
        bytes_(static_cast<std::size_t>(count) * sizeof(T)),
        data_(static_cast<T*>(allocator.allocate(bytes_))) {}
  ~Scratch() { allocator_.release(data_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* data() const { return data_; }
  T& operator[](std::int64_t i) const { return data_[i]; }

 private:
  CachingAllocator& allocator_;
  std::size_t bytes_;
  T* data_;
};

}  // namespace sagitta::cpu
