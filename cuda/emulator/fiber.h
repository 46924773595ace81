// Fiber: a stack of its own and the means to switch to it, the ground under the emulated CUDA threads.
// A switch saves what a function call must preserve and swaps the stack pointer: 14 instructions on x86-64;
// elsewhere ucontext does it (slower, for it makes system calls). Fibers never move between OS threads while
// running.
#pragma once
#include <cstddef>

#include "cuda/emulator/sanitizer.h"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace sagitta::cuda::emulator {

class Fiber {
 public:
  // Stands for the stack of the OS thread that switches away from it.
  Fiber();
  // A stack that runs `entry` at the first switch to it. `entry` must not return.
  explicit Fiber(void (*entry)());
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  // Continues `to`; returns when somebody switches back to `from`, which is the running fiber.
  static void switch_between(Fiber& from, Fiber& to);
  // To be called first by every `entry`.
  static void entered();

  races::Context race_context() const { return race_context_; }

 private:
#if defined(__x86_64__)
  void* stack_pointer_ = nullptr;
#else
  ucontext_t context_{};
#endif
  std::byte* mapping_ = nullptr;  // guard page and stack; null for an OS thread's stack
  const void* stack_ = nullptr;
  std::size_t stack_bytes_ = 0;
  void* fake_stack_ = nullptr;  // AddressSanitizer's
  races::Context race_context_ = nullptr;
};

}  // namespace sagitta::cuda::emulator
