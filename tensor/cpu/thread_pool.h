// ThreadPool: the threads under every loop of the CPU backend.
// run(count, task) is one fork and join: the calling thread and the workers take task after task until none
// is left. Made for many short regions per second on machines that other programs use too: a thread that has
// nothing to do spins for some microseconds and then sleeps, which frees its core for one of ours that was
// pushed off it. (OpenMP's default barrier spins for milliseconds: with one core taken by another program a
// step took four times as long.)
// Invariants: one region at a time; a region begun inside another, or while another thread's runs, is done by
// its caller alone, so a program may call the backend from any number of threads of its own.
#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace sagitta::cpu {

class ThreadPool {
 public:
  // Reads no clock and owns no tasks: `context` and what it refers to must outlive run().
  using Task = void (*)(const void* context, std::int64_t task, int thread);

  // The pool of the process. Its size is OMP_NUM_THREADS or, without that, the processors that the process
  // may use.
  static ThreadPool& instance();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Threads that take part in a region, the caller among them.
  int size() const { return size_.load(std::memory_order_relaxed); }
  // Not while a region runs. At least 1.
  void resize(int size);
  // Calls task(context, i, thread) once for every i in [0, count), 0 <= thread < size(). Must not throw.
  void run(std::int64_t count, Task task, const void* context);

 private:
  struct Region {
    Task task;
    const void* context;
    std::int64_t count;
  };

  explicit ThreadPool(int size);
  void start_workers();
  void stop_workers();
  void work(int thread);
  // Takes tasks of region `generation` until none is left.
  void take_tasks(std::uint32_t generation, int thread);

  std::mutex owner_;  // held by the thread whose region runs
  std::atomic<int> size_;
  std::vector<std::thread> workers_;
  Region region_{};
  // The number of the region above, and below the tasks that nobody has taken yet: one word, so that a worker
  // that comes late cannot take a task of a region that has ended.
  std::atomic<std::uint64_t> open_{0};
  std::atomic<std::uint32_t> generation_{0};  // what idle workers wait for
  std::atomic<std::uint32_t> unfinished_{0};  // tasks of the region
  std::atomic<bool> stopping_{false};
};

}  // namespace sagitta::cpu
