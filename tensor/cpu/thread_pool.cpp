#include "tensor/cpu/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>

namespace sagitta::cpu {

namespace {

// Looks at a condition this often, with a pause in between, before it sleeps: 20 to 60 microseconds, longer
// than the serial code between two ops.
constexpr int kSpins = 1500;

thread_local bool inside_region = false;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns when the value is another one than `old`.
void wait_for_change(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  value.wait(old, std::memory_order_acquire);
}

int default_size() {
  if (const char* wanted = std::getenv("OMP_NUM_THREADS")) return std::max(1, std::atoi(wanted));
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) return std::max(1, CPU_COUNT(&allowed));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

ThreadPool& ThreadPool::instance() {
  // Never destroyed: tensors with static lifetime may outlive main().
  static ThreadPool& pool = *new ThreadPool(default_size());
  return pool;
}

ThreadPool::ThreadPool(int size) : size_(size) {}

void ThreadPool::resize(int size) {
  const std::lock_guard lock(owner_);
  stop_workers();
  size_ = std::max(1, size);
}

void ThreadPool::start_workers() {
  while (static_cast<int>(workers_.size()) + 1 < size()) {
    const int thread = static_cast<int>(workers_.size()) + 1;
    workers_.emplace_back([this, thread] { work(thread); });
  }
}

void ThreadPool::stop_workers() {
  stopping_ = true;
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
  stopping_ = false;
}

void ThreadPool::run(std::int64_t count, Task task, const void* context) {
  const bool alone = count <= 1 || size() == 1 || inside_region || !owner_.try_lock();
  if (alone) {
    for (std::int64_t i = 0; i < count; ++i) task(context, i, 0);
    return;
  }
  const std::lock_guard lock(owner_, std::adopt_lock);
  start_workers();
  inside_region = true;
  // The counters hold 32 bits; nobody waits for more tasks than that.
  for (std::int64_t begin = 0; begin < count;) {
    region_ = {task, context, std::min<std::int64_t>(count, begin + (std::int64_t{1} << 31))};
    const std::uint32_t tasks = static_cast<std::uint32_t>(region_.count - begin);
    const std::uint32_t generation = generation_.load(std::memory_order_relaxed) + 1;
    unfinished_.store(tasks, std::memory_order_relaxed);
    open_.store(std::uint64_t{generation} << 32 | tasks, std::memory_order_release);
    generation_.store(generation, std::memory_order_release);
    generation_.notify_all();
    take_tasks(generation, 0);
    while (const std::uint32_t left = unfinished_.load(std::memory_order_acquire))
      wait_for_change(unfinished_, left);
    begin = region_.count;
  }
  inside_region = false;
}

void ThreadPool::take_tasks(std::uint32_t generation, int thread) {
  std::uint64_t open = open_.load(std::memory_order_acquire);
  while (open >> 32 == generation && (open & 0xffffffff) != 0) {
    if (!open_.compare_exchange_weak(open, open - 1, std::memory_order_acquire)) continue;
    const Region region = region_;  // stays as it is until this task is finished
    region.task(region.context, region.count - static_cast<std::int64_t>(open & 0xffffffff), thread);
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
    open = open_.load(std::memory_order_acquire);
  }
}

void ThreadPool::work(int thread) {
  inside_region = true;
  std::uint32_t seen = 0;
  while (true) {
    wait_for_change(generation_, seen);
    seen = generation_.load(std::memory_order_acquire);
    if (stopping_) return;
    take_tasks(seen, thread);
  }
}

}  // namespace sagitta::cpu
