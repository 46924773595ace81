// Parallel loops of the CPU backend.
// Invariant: how a range is cut depends on its extent only, never on the number of threads, so that partial
// sums added up in chunk order give the same bits on any machine with the same instruction set.
#pragma once
#include <algorithm>
#include <cstdint>

#include "tensor/cpu/allocator.h"
#include "tensor/cpu/thread_pool.h"
#include "tensor/rounding.h"

namespace sagitta::cpu::inline SAGITTA_ISA {

// Elements per chunk of a cheap elementwise loop: small enough to balance, large enough to hide the fork.
inline constexpr std::int64_t kGrain = 16384;

// Calls body(task, thread) for every task in [0, count), concurrently; thread < ThreadPool::size().
template <class Body>
void parallel_tasks(std::int64_t count, const Body& body) {
  ThreadPool::instance().run(
      count,
      [](const void* context, std::int64_t task, int thread) {
        (*static_cast<const Body*>(context))(task, thread);
      },
      &body);
}

// Calls body(chunk, begin, end) for the chunks of `chunk_size` that cover [0, n); chunks run concurrently.
template <class Body>
void parallel_chunks(std::int64_t n, std::int64_t chunk_size, const Body& body) {
  const std::int64_t chunks = ceil_div(n, chunk_size);
  parallel_tasks(chunks, [&](std::int64_t chunk, int) {
    body(chunk, chunk * chunk_size, std::min(n, (chunk + 1) * chunk_size));
  });
}

// Calls body(i) for every i in [0, n), each of about `cost` elementary operations.
template <class Body>
void parallel_for(std::int64_t n, std::int64_t cost, const Body& body) {
  const std::int64_t per_chunk = std::max<std::int64_t>(1, kGrain / std::max<std::int64_t>(1, cost));
  parallel_chunks(n, per_chunk, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) body(i);
  });
}

// One scratch of `count` elements per thread, allocated before the parallel region so that a lack of memory
// can throw.
template <class T>
class ThreadScratch {
 public:
  ThreadScratch(CachingAllocator& allocator, std::int64_t count)
      : count_(round_up(count, 64)), all_(allocator, count_ * ThreadPool::instance().size()) {}
  T* of(int thread) const { return all_.data() + count_ * thread; }

 private:
  std::int64_t count_;
  Scratch<T> all_;
};

// dst[i] = value(i), or dst[i] += value(i), for i in [0, n). value(i) may read dst[i] itself.
template <class T, class Value>
void write_each(T* dst, std::int64_t n, bool accumulate, const Value& value) {
  parallel_chunks(n, kGrain, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
    if (accumulate) {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) dst[i] = static_cast<T>(dst[i] + value(i));
    } else {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) dst[i] = value(i);
    }
  });
}

// dst = value, or dst += value.
template <class T>
inline void put(T& dst, bool accumulate, T value) {
  dst = accumulate ? dst + value : value;
}

}  // namespace sagitta::cpu::inline SAGITTA_ISA
