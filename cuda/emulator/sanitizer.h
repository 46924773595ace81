// What the sanitizers must be told about fibers and barriers, where a program is built with them.
// AddressSanitizer has to know which stack is current. ThreadSanitizer takes each CUDA thread for a thread of
// its own and is told what a barrier orders, so that it reports all conflicting accesses of a block that no
// barrier separates, in whatever order they ran. The library itself must not be instrumented for it
// (fiber.cpp and scheduler.cpp act for all threads). In a program without a sanitizer these weak functions
// are null.
#pragma once
#include <cstddef>

extern "C" {
[[gnu::weak]] void __sanitizer_start_switch_fiber(void** save, const void* stack, std::size_t bytes);
[[gnu::weak]] void __sanitizer_finish_switch_fiber(void* saved, const void** old_stack,
                                                   std::size_t* old_bytes);
[[gnu::weak]] void* __tsan_get_current_fiber();
[[gnu::weak]] void* __tsan_create_fiber(unsigned flags);
[[gnu::weak]] void __tsan_destroy_fiber(void* fiber);
[[gnu::weak]] void __tsan_switch_to_fiber(void* fiber, unsigned flags);
[[gnu::weak]] void __tsan_acquire(void* address);
[[gnu::weak]] void __tsan_release(void* address);
}

namespace sagitta::cuda::emulator::races {

// ThreadSanitizer's record of what one thread knows of the others.
using Context = void*;

inline bool checked() { return __tsan_switch_to_fiber != nullptr; }
inline Context current() { return checked() ? __tsan_get_current_fiber() : nullptr; }
inline Context create() { return checked() ? __tsan_create_fiber(0) : nullptr; }
inline void destroy(Context context) {
  if (checked()) __tsan_destroy_fiber(context);
}
// Accesses count as those of `context` from now on. Flag 1: the change itself orders nothing.
inline void switch_to(Context context) {
  if (checked()) __tsan_switch_to_fiber(context, 1);
}
// What came before release(x) is ordered before what follows a later acquire(x).
inline void release(void* address) {
  if (checked()) __tsan_release(address);
}
inline void acquire(void* address) {
  if (checked()) __tsan_acquire(address);
}

}  // namespace sagitta::cuda::emulator::races
