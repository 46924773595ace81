// Allocator: the memory under all tensors of one GPU.
// cudaMalloc and cudaFree wait for the device, so blocks are kept, cut and merged here. Reuse needs no
// waiting either: all kernels run in order on one stream, so whoever gets a released block runs after whoever
// had it. A captured step bakes addresses, so it has a private Pool whose blocks nobody else gets. Invariant:
// blocks_ tiles every segment, no two neighboring blocks of it are both free, and each free block is listed
// in its pool.
#pragma once
#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

#include "tensor/backend.h"

namespace sagitta::cuda {

class Allocator {
 public:
  // Blocks are multiples of this, and aligned to the 256 bytes that cudaMalloc promises: enough for every
  // load and for cuDNN and cuBLASLt.
  static constexpr std::size_t kGranule = 512;
  // Under AddressSanitizer (the emulated device) every block is an allocation of its own and exactly as large
  // as asked for, so that an access beside it or after its release is seen.
#ifdef __SANITIZE_ADDRESS__
  static constexpr bool kCaching = false;
#else
  static constexpr bool kCaching = true;
#endif

  // Free blocks of one owner. Small and large requests are kept apart, so that a long-lived bias does not pin
  // a segment that an activation needs whole.
  struct Pool {
    using FreeList = std::set<std::pair<std::size_t, std::byte*>>;  // (bytes, address)
    std::array<FreeList, 2> free;
    std::size_t blocks_in_use = 0;
    bool retired = false;  // its captured step is gone; segments are returned once nothing is in use
  };

  Allocator() = default;
  ~Allocator();  // nothing may run on the device any more
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  // Uninitialized memory; 0 bytes is allowed. Throws Error when the GPU has no more. Thread-safe.
  void* allocate(std::size_t bytes);
  void release(void* memory, std::size_t bytes);
  MemoryUse use() const;

  // A pool of its own. While a PoolScope lives, allocations come from that pool.
  std::shared_ptr<Pool> make_pool();
  // Gives the driver what is free in the pool. Waits for the device.
  void trim(Pool& pool);
  class PoolScope {
   public:
    PoolScope(Allocator& allocator, Pool& pool);
    ~PoolScope();
    PoolScope(const PoolScope&) = delete;
    PoolScope& operator=(const PoolScope&) = delete;

   private:
    Allocator& allocator_;
    Pool* previous_;
  };

 private:
  struct Block {
    std::size_t bytes = 0;
    Pool* pool = nullptr;
    bool free = false;
    bool starts_segment = false;
    bool small = false;
  };
  using Blocks = std::map<std::byte*, Block>;

  Blocks::iterator find_free(std::size_t bytes);
  Blocks::iterator grow(std::size_t bytes);
  void put_back(Blocks::iterator block);
  void return_free_segments(Pool& pool);
  void retire(Pool* pool);

  mutable std::mutex mutex_;
  Blocks blocks_;
  Pool shared_;
  Pool* current_ = &shared_;
  std::map<Pool*, std::unique_ptr<Pool>> private_pools_;
  MemoryUse use_;
};

}  // namespace sagitta::cuda
