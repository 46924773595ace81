// Thread: what the scheduler keeps of one CUDA thread, and the line that says where threads are stuck.
#pragma once
#include <source_location>
#include <span>
#include <string>

#include "cuda/emulator/fiber.h"
#include "cuda/emulator/scheduler.h"

namespace sagitta::cuda::emulator {

struct Thread {
  enum class State { unstarted, runnable, at_barrier, at_warp_operation, done };

  uint3 index{};
  State state = State::unstarted;
  Fiber* fiber = nullptr;
  std::source_location where;  // of the barrier or warp operation it waits for
  // Of that warp operation:
  unsigned mask = 0;
  Combine combine = nullptr;
  bool orders_memory = false;

  bool waits() const { return state == State::at_barrier || state == State::at_warp_operation; }
  bool waits_like(const Thread& other) const;
};

inline bool same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column();
}

// "; thread 0 and 39 more at a.cu:12; thread 40 at a.cu:15": who waits where.
std::string describe_waiting(std::span<const Thread> threads);

}  // namespace sagitta::cuda::emulator
