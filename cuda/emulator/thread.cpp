#include "cuda/emulator/thread.h"

#include <algorithm>

#include "tensor/error.h"

namespace sagitta::cuda::emulator {

bool Thread::waits_like(const Thread& other) const {
  return state == other.state && same_place(where, other.where) &&
         (state == State::at_barrier || mask == other.mask);
}

std::string describe_waiting(std::span<const Thread> threads) {
  std::string text;
  for (auto thread = threads.begin(); thread != threads.end(); ++thread) {
    const auto alike = [&](const Thread& other) { return other.waits_like(*thread); };
    if (!thread->waits() || std::any_of(threads.begin(), thread, alike)) continue;
    text += fmt::format("; thread {}", thread - threads.begin());
    if (const auto others = std::count_if(thread + 1, threads.end(), alike); others > 0)
      text += fmt::format(" and {} more", others);
    text += fmt::format(" at {}:{}", thread->where.file_name(), thread->where.line());
    if (thread->state == Thread::State::at_warp_operation) text += fmt::format(" (mask {:#x})", thread->mask);
  }
  return text;
}

}  // namespace sagitta::cuda::emulator
