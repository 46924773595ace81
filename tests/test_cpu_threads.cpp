// The thread pool of the CPU backend, and that a repeated computation asks the system for no memory.
#include <sys/resource.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "kernel_reference.h"
#include "tensor/cpu/thread_pool.h"

using namespace sagitta;
using namespace sagitta::testing;

namespace {

// How often each task of a region was done, and by how many threads at most at once a thread number was in
// use.
struct Tally {
  std::vector<std::atomic<int>> done;
  std::vector<std::atomic<int>> inside;
  std::atomic<bool> clash{false};
  Tally(std::int64_t tasks, int threads)
      : done(static_cast<std::size_t>(tasks)), inside(static_cast<std::size_t>(threads)) {}
};

void count_task(const void* context, std::int64_t task, int thread) {
  Tally& tally = *static_cast<Tally*>(const_cast<void*>(context));
  if (tally.inside[static_cast<std::size_t>(thread)]++ != 0) tally.clash = true;
  ++tally.done[static_cast<std::size_t>(task)];
  --tally.inside[static_cast<std::size_t>(thread)];
}

void check_all_done_once(std::int64_t tasks) {
  cpu::ThreadPool& pool = cpu::ThreadPool::instance();
  Tally tally(tasks, pool.size());
  pool.run(tasks, count_task, &tally);
  CHECK_FALSE(tally.clash);
  for (const std::atomic<int>& done : tally.done) CHECK(done == 1);
}

}  // namespace

TEST_CASE("threads: every task is done exactly once, and no two at the same time by one thread number") {
  const int threads = cpu_threads();
  for (const int count : {1, 2, 3, 8}) {
    set_cpu_threads(count);
    CHECK(cpu_threads() == count);
    for (const std::int64_t tasks : {0, 1, 2, 7, 500}) check_all_done_once(tasks);
    for (int region = 0; region < 2000; ++region) check_all_done_once(3);  // workers that come late
  }
  set_cpu_threads(threads);
}

TEST_CASE("threads: a region inside a region, and regions of several threads at once, are done too") {
  const int threads = cpu_threads();
  set_cpu_threads(3);
  struct Outer {
    std::atomic<int> inner{0};
  } outer;
  const auto inner = [](const void* context, std::int64_t, int) {
    ++static_cast<Outer*>(const_cast<void*>(context))->inner;
  };
  cpu::ThreadPool::instance().run(
      20,
      [](const void* context, std::int64_t, int) {
        cpu::ThreadPool::instance().run(
            10,
            [](const void* inside, std::int64_t, int thread) {
              CHECK(thread == 0);  // by its caller alone
              ++static_cast<Outer*>(const_cast<void*>(inside))->inner;
            },
            context);
      },
      &outer);
  CHECK(outer.inner == 200);

  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller)
    callers.emplace_back([&] {
      for (int region = 0; region < 500; ++region) cpu::ThreadPool::instance().run(5, inner, &outer);
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(outer.inner == 200 + 4 * 500 * 5);
  set_cpu_threads(threads);
}

// AddressSanitizer's build takes every block from the system, on purpose.
#ifndef __SANITIZE_ADDRESS__
TEST_CASE("memory: the ops of a training step, repeated, take no page faults") {
  Backend& backend = cpu_backend();
  const Conv2dParams params{1, 1};
  const Tensor x = random_tensor({4, 32, 32, 64}, DType::f32, 1),
               weight = random_tensor({64, 3, 3, 64}, DType::f32, 2);
  const auto step = [&] {
    Tensor y = x.like(), dx = x.like(), dweight = weight.like();
    backend.conv2d(params, x, weight, y);
    backend.unary(UnaryOp::relu, y, y);
    backend.conv2d_backward_input(params, weight, y, {dx});
    backend.conv2d_backward_weight(params, x, y, {dweight});
    set_conv_algorithm(ConvAlgorithm::direct);
    backend.conv2d(params, x, weight, y);
    backend.conv2d_backward_weight(params, x, y, {dweight});
    set_conv_algorithm(ConvAlgorithm::automatic);
  };
  const auto faults = [&] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt + usage.ru_majflt;
  };
  step();
  step();
  const long before = faults();
  for (int i = 0; i < 10; ++i) step();
  // A step handles some 20 MB, 5000 pages; a handful in all are the stacks and heaps of threads.
  CHECK(faults() - before < 20);
}
#endif
