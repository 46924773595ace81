#include "cuda/emulator/scheduler.h"

#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <span>
#include <utility>
#include <vector>

#include "cuda/emulator/fiber.h"
#include "cuda/emulator/thread.h"
#include "tensor/error.h"

namespace sagitta::cuda::emulator {
namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kMaxThreads = 1024;
constexpr std::size_t kMaxSharedBytes = 227 << 10;  // compute capability 9.0, opted in
constexpr int kGarbage = 0xFF;                      // NaN in every floating type

using State = Thread::State;

struct Warp {
  unsigned alive = 0;    // lanes that have not returned
  unsigned waiting = 0;  // lanes at a warp operation
  void* records[kWarp] = {};
};

struct Barrier {
  unsigned arrived = 0;
  unsigned predicates = 0;
  unsigned result = 0;  // of the last completed one
  std::source_location where;
};

struct SharedMemory {
  explicit SharedMemory(std::size_t size)
      : bytes(size), memory(::operator new (size, std::align_val_t{128})) {}
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  ~SharedMemory() { ::operator delete (memory, std::align_val_t{128}); }
  std::size_t bytes;
  void* memory;  // of exactly that size: AddressSanitizer sees the first byte after it
};

class Scheduler {
 public:
  // The place for runnable threads is reserved, so that it never grows on behalf of an emulated thread.
  Scheduler() { runnable_.reserve(kMaxThreads); }

  void set_order(const Order& order) {
    const std::lock_guard lock(one_launch_);
    order_ = order;
  }
  void run_grid(dim3 grid, dim3 block, std::size_t shared_bytes, void (*body)(const void*),
                const void* argument);
  int join_block(bool predicate, const std::source_location& where);
  void join_warp(unsigned mask, Combine combine, void* record, bool orders_memory,
                 const std::source_location& where);
  void fence();
  void* block_memory() const { return shared_->memory; }
  unsigned lane() const { return current_ % kWarp; }

 private:
  void prepare(dim3 grid, dim3 block);
  void run_block();
  static void fiber_main();
  void run_threads();
  void run_thread();
  void finish_thread();
  bool start_next();
  void order_memory(std::span<const unsigned> threads);
  void leave();
  Fiber* pick();
  void release_block();
  bool complete_warp(unsigned warp_index, unsigned mask);
  [[noreturn]] void die(const char* what) const;

  std::mutex one_launch_;  // static shared memory and the built-in variables exist once
  Order order_ = Order::from_environment();

  void (*body_)(const void*) = nullptr;
  const void* argument_ = nullptr;
  std::unique_ptr<SharedMemory> shared_;

  unsigned count_ = 0;  // threads of a block
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<unsigned> start_order_;
  std::vector<unsigned> runnable_;  // threads on fibers that may continue; the last one is next
  unsigned started_ = 0;
  unsigned alive_ = 0;
  Barrier barrier_;

  std::vector<std::unique_ptr<Fiber>> pool_;
  std::vector<Fiber*> idle_;
  Fiber* host_ = nullptr;   // the caller of launch()
  Fiber* fiber_ = nullptr;  // the running one
  unsigned current_ = 0;    // the running thread
};

Scheduler& scheduler() {
  static Scheduler instance;
  return instance;
}

void Scheduler::run_grid(dim3 grid, dim3 block, std::size_t shared_bytes, void (*body)(const void*),
                         const void* argument) {
  const std::size_t threads = std::size_t{block.x} * block.y * block.z;
  require(threads >= 1 && threads <= kMaxThreads && block.z <= 64,
          "launch: block is {} x {} x {}, expected 1 to {} threads and at most 64 layers", block.x, block.y,
          block.z, kMaxThreads);
  require(grid.x <= 0x7fffffffU && grid.y <= 65535 && grid.z <= 65535,
          "launch: grid is {} x {} x {}, expected at most 2147483647 x 65535 x 65535", grid.x, grid.y,
          grid.z);
  require(shared_bytes <= kMaxSharedBytes, "launch: {} bytes of dynamic shared memory, expected at most {}",
          shared_bytes, kMaxSharedBytes);
  const std::lock_guard lock(one_launch_);
  body_ = body;
  argument_ = argument;
  shared_ = std::make_unique<SharedMemory>(shared_bytes);
  Fiber host;
  host_ = fiber_ = &host;
  prepare(grid, block);
  const std::uint64_t blocks = std::uint64_t{grid.x} * grid.y * grid.z;
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::uint64_t b = order_.descending() ? blocks - 1 - i : i;
    blockIdx = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                static_cast<unsigned>(b / grid.x / grid.y)};
    run_block();
  }
  shared_.reset();
}

void Scheduler::prepare(dim3 grid, dim3 block) {
  gridDim = grid;
  blockDim = block;
  count_ = block.x * block.y * block.z;
  threads_.resize(count_);
  for (unsigned t = 0; t < count_; ++t)
    threads_[t].index = {t % block.x, t / block.x % block.y, t / block.x / block.y};
  warps_.resize((count_ + kWarp - 1) / kWarp);
  start_order_.resize(count_);
  order_.arrange(start_order_);
  while (pool_.size() < count_ + 1) {  // one for each waiting thread, and one to start the next
    pool_.push_back(std::make_unique<Fiber>(&Scheduler::fiber_main));
    idle_.push_back(pool_.back().get());
  }
}

void Scheduler::run_block() {
  std::memset(shared_->memory, kGarbage, shared_->bytes);
  for (Thread& thread : threads_) thread.state = State::unstarted;
  for (unsigned w = 0; w < warps_.size(); ++w) {
    const unsigned lanes = count_ - w * kWarp < kWarp ? count_ - w * kWarp : kWarp;
    warps_[w].alive = lanes == kWarp ? ~0U : (1U << lanes) - 1;
    warps_[w].waiting = 0;
  }
  if (order_.random()) order_.arrange(start_order_);
  started_ = 0;
  alive_ = count_;
  barrier_.arrived = barrier_.predicates = 0;
  races::release(&started_);
  leave();
  races::acquire(&alive_);
  if (alive_ > 0) die("deadlock");
}

// ---- threads on fibers

void Scheduler::fiber_main() {
  Fiber::entered();
  scheduler().run_threads();
}

// The life of every fiber: threads to their end, then rest until there are more.
void Scheduler::run_threads() {
  for (;;) {
    // ThreadSanitizer knows threads by their fibers: there each thread of a block needs its own.
    do run_thread();
    while (!races::checked() && start_next());
    if (!races::checked()) idle_.push_back(fiber_);
    leave();
  }
}

// Whether the next to run is a thread that has not started; otherwise a waiting one or the host continues.
bool Scheduler::start_next() {
  const unsigned unstarted = count_ - started_;
  if (unstarted == 0 || runnable_.empty()) return unstarted > 0;
  return order_.random() && order_.choose(unstarted + static_cast<unsigned>(runnable_.size())) < unstarted;
}

void Scheduler::run_thread() {
  current_ = start_order_[started_++];
  Thread& thread = threads_[current_];
  thread.state = State::runnable;
  thread.fiber = fiber_;
  threadIdx = thread.index;
  races::acquire(&started_);
  try {
    body_(argument_);
  } catch (const std::exception& error) {
    die(error.what());
  }
  races::release(&alive_);
  finish_thread();
}

void Scheduler::finish_thread() {
  threads_[current_].state = State::done;
  --alive_;
  const unsigned warp_index = current_ / kWarp;
  Warp& warp = warps_[warp_index];
  warp.alive &= ~(1U << (current_ % kWarp));
  // Those who waited for this thread alone may go on.
  while (warp.waiting != 0) {
    bool released = false;
    for (unsigned rest = warp.waiting; rest != 0 && !released; rest &= rest - 1)
      released = complete_warp(warp_index, threads_[warp_index * kWarp + std::countr_zero(rest)].mask);
    if (!released) break;
  }
  if (alive_ > 0 && barrier_.arrived == alive_) release_block();
}

// Runs something else. Returns when the running thread may continue; at once when it is next itself.
void Scheduler::leave() {
  Fiber* const from = fiber_;
  Fiber* const to = pick();
  if (to == from) return;
  fiber_ = to;
  Fiber::switch_between(*from, *to);
}

Fiber* Scheduler::pick() {
  if (start_next()) {
    if (races::checked()) return pool_[start_order_[started_]].get();
    Fiber* fiber = idle_.back();
    idle_.pop_back();
    return fiber;
  }
  if (runnable_.empty()) return host_;
  if (order_.random())
    std::swap(runnable_.back(), runnable_[order_.choose(static_cast<unsigned>(runnable_.size()))]);
  current_ = runnable_.back();
  runnable_.pop_back();
  threads_[current_].state = State::runnable;
  threadIdx = threads_[current_].index;
  return threads_[current_].fiber;
}

// ---- waiting

int Scheduler::join_block(bool predicate, const std::source_location& where) {
  Thread& thread = threads_[current_];
  thread.state = State::at_barrier;
  thread.where = where;
  if (barrier_.arrived > 0 && !same_place(barrier_.where, where)) die("divergent barrier");
  barrier_.where = where;
  barrier_.predicates += predicate;
  if (++barrier_.arrived == alive_) release_block();
  leave();
  return static_cast<int>(barrier_.result);
}

void Scheduler::release_block() {
  barrier_.result = std::exchange(barrier_.predicates, 0U);
  barrier_.arrived = 0;
  const std::size_t before = runnable_.size();
  order_.backward(count_, [&](unsigned t) {
    if (threads_[t].state == State::at_barrier) runnable_.push_back(t);
  });
  order_memory(std::span(runnable_).subspan(before));
}

void Scheduler::join_warp(unsigned mask, Combine combine, void* record, bool orders_memory,
                          const std::source_location& where) {
  const unsigned warp_index = current_ / kWarp, lane = current_ % kWarp;
  Warp& warp = warps_[warp_index];
  Thread& thread = threads_[current_];
  thread.state = State::at_warp_operation;
  thread.where = where;
  thread.mask = mask;
  thread.combine = combine;
  thread.orders_memory = orders_memory;
  warp.records[lane] = record;
  warp.waiting |= 1U << lane;
  if ((mask >> lane & 1U) == 0) die("a lane is missing in its own mask");
  complete_warp(warp_index, mask);
  leave();
}

// Carries out the operation that waits for `mask` if all of its live lanes are there.
bool Scheduler::complete_warp(unsigned warp_index, unsigned mask) {
  Warp& warp = warps_[warp_index];
  const unsigned lanes = mask & warp.alive;
  if ((warp.waiting & lanes) != lanes) return false;
  const Thread* const first = &threads_[warp_index * kWarp];
  const Thread& leader = first[std::countr_zero(lanes)];
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    const Thread& other = first[std::countr_zero(rest)];
    if (!other.waits_like(leader) || other.combine != leader.combine) die("divergent warp operation");
  }
  if (leader.combine) leader.combine(warp.records, lanes);
  warp.waiting &= ~lanes;
  const std::size_t before = runnable_.size();
  order_.backward(kWarp, [&](unsigned lane) {
    if (lanes >> lane & 1U) runnable_.push_back(warp_index * kWarp + lane);
  });
  if (leader.orders_memory) order_memory(std::span(runnable_).subspan(before));
  return true;
}

// What any of the waiting threads did is ordered before what any of them will do.
void Scheduler::order_memory(std::span<const unsigned> threads) {
  if (!races::checked()) return;
  char meeting = 0;
  for (const unsigned t : threads) {
    races::switch_to(threads_[t].fiber->race_context());
    races::release(&meeting);
  }
  for (const unsigned t : threads) {
    races::switch_to(threads_[t].fiber->race_context());
    races::acquire(&meeting);
  }
  races::switch_to(fiber_->race_context());
}

void Scheduler::fence() {
  races::acquire(&barrier_);
  races::release(&barrier_);
}

// Ends the program with one line: what happened, in which block, and who waits where.
void Scheduler::die(const char* what) const {
  std::fprintf(stderr, "%s\n",
               fmt::format("emulator: {} in block ({},{},{}){}", what, blockIdx.x, blockIdx.y, blockIdx.z,
                           describe_waiting(threads_))
                   .c_str());
  std::abort();
}

}  // namespace

void set_schedule(Schedule schedule, std::uint32_t seed) { scheduler().set_order({schedule, seed}); }
void run_grid(dim3 grid, dim3 block, std::size_t shared_bytes, void (*body)(const void*),
              const void* argument) {
  scheduler().run_grid(grid, block, shared_bytes, body, argument);
}
void* block_memory() { return scheduler().block_memory(); }
int join_block(bool predicate, std::source_location where) {
  return scheduler().join_block(predicate, where);
}
void join_warp(unsigned mask, Combine combine, void* record, bool orders_memory, std::source_location where) {
  scheduler().join_warp(mask, combine, record, orders_memory, where);
}
unsigned lane() { return scheduler().lane(); }
void fence() { scheduler().fence(); }

}  // namespace sagitta::cuda::emulator
