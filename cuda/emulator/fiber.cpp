#include "cuda/emulator/fiber.h"

#include <sys/mman.h>

#include <cstring>

#include "tensor/error.h"

#if defined(__x86_64__)
// Pushes what the System V ABI lets a caller rely on, stores the stack pointer in *save, and pops the other
// side.
extern "C" void sagitta_switch_stacks(void** save, void* load);
asm(R"(
.text
.type sagitta_switch_stacks,@function
.globl sagitta_switch_stacks
sagitta_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size sagitta_switch_stacks,.-sagitta_switch_stacks
)");
#endif

namespace sagitta::cuda::emulator {
namespace {

constexpr std::size_t kGuardBytes = 64 << 10;  // at least one page everywhere: an overflow faults at once
constexpr std::size_t kStackBytes = 256 << 10;

// Whom the running fiber took over from: AddressSanitizer tells the bounds of a stack only to its successor.
Fiber* previous = nullptr;

}  // namespace

Fiber::Fiber() : race_context_(races::current()) {}

Fiber::Fiber(void (*entry)()) : race_context_(races::create()) {
  // Pages that a kernel does not touch cost nothing.
  void* mapping = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  require(mapping != MAP_FAILED, "emulator: no memory for the stack of a thread ({} bytes)", kStackBytes);
  mapping_ = static_cast<std::byte*>(mapping);
  require(mprotect(mapping_, kGuardBytes, PROT_NONE) == 0, "emulator: cannot protect a stack's guard page");
  std::byte* stack = mapping_ + kGuardBytes;
  stack_ = stack;
  stack_bytes_ = kStackBytes;
#if defined(__x86_64__)
  // From the top: a null return address for `entry`, `entry` as the return address of the switch, and the six
  // registers it pops (mmap gives zeros). `entry` then starts with the stack as after a call: 8 modulo 16.
  void** top = reinterpret_cast<void**>(stack + kStackBytes) - 1;
  *--top = reinterpret_cast<void*>(entry);
  stack_pointer_ = top - 6;
#else
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack;
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
#endif
}

Fiber::~Fiber() {
  if (!mapping_) return;
  races::destroy(race_context_);
  munmap(mapping_, kGuardBytes + kStackBytes);
}

void Fiber::switch_between(Fiber& from, Fiber& to) {
  previous = &from;
  if (__sanitizer_start_switch_fiber)
    __sanitizer_start_switch_fiber(&from.fake_stack_, to.stack_, to.stack_bytes_);
  races::switch_to(to.race_context_);
#if defined(__x86_64__)
  sagitta_switch_stacks(&from.stack_pointer_, to.stack_pointer_);
#else
  swapcontext(&from.context_, &to.context_);
#endif
  if (__sanitizer_finish_switch_fiber)
    __sanitizer_finish_switch_fiber(from.fake_stack_, &previous->stack_, &previous->stack_bytes_);
}

void Fiber::entered() {
  if (__sanitizer_finish_switch_fiber)
    __sanitizer_finish_switch_fiber(nullptr, &previous->stack_, &previous->stack_bytes_);
}

}  // namespace sagitta::cuda::emulator
