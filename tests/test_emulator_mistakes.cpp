// What the emulated device says of kernels that would hang or confuse a GPU, before it ends the program.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "cuda/launch.h"
#include "device_array.h"

namespace sagitta {
namespace {

using cuda::launch;
using test::DeviceArray;

constexpr unsigned kAll = ~0U;

// What `work` prints to stderr before it aborts, in a process of its own.
std::string last_words(void (*work)()) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGABRT, SIG_DFL);  // not doctest's
    dup2(ends[1], STDERR_FILENO);
    work();
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char buffer[512];
  for (ssize_t got = 0; (got = read(ends[0], buffer, sizeof(buffer))) > 0;)
    text.append(buffer, static_cast<std::size_t>(got));
  close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  return text.substr(0, text.find('\n'));
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

__global__ void two_barriers() {
  if (threadIdx.x < 40)
    __syncthreads();
  else
    __syncthreads();
}

__global__ void two_shuffles(int* y) {
  if (threadIdx.x < 8)
    *y = __shfl_sync(kAll, 1, 0);
  else
    *y = __shfl_sync(kAll, 2, 0);
}

__global__ void some_vote_others_wait() {
  if (threadIdx.x % 32 == 5)
    __syncthreads();
  else
    __syncwarp();
}

__global__ void not_in_its_mask() { __syncwarp(0x0FFFFFFF); }

__global__ void throws() { fail("kernel: x is {}, expected 2", 1); }

TEST_CASE("a divergent barrier ends the program and names both places") {
  const std::string text = last_words([] { launch(two_barriers, 1, 64, 0, nullptr); });
  CAPTURE(text);
  CHECK(contains(text, "emulator: divergent barrier in block (0,0,0); thread 0 and 39 more at "));
  CHECK(contains(text, "; thread 40 at "));
  CHECK(contains(text, "test_emulator_mistakes.cpp:"));
}

TEST_CASE("a divergent warp operation ends the program") {
  const std::string text = last_words([] {
    const DeviceArray<int> y(1);
    launch(two_shuffles, 1, 32, 0, nullptr, y.get());
  });
  CAPTURE(text);
  CHECK(contains(text, "emulator: divergent warp operation in block (0,0,0); thread 0 and 7 more at "));
  CHECK(contains(text, "; thread 8 and 23 more at "));
}

TEST_CASE("a deadlock ends the program") {
  const std::string text = last_words([] { launch(some_vote_others_wait, 1, 64, 0, nullptr); });
  CAPTURE(text);
  CHECK(contains(text, "emulator: deadlock in block (0,0,0); thread 0 and 61 more at "));
  CHECK(contains(text, "(mask 0xffffffff); thread 5 and 1 more at "));
}

TEST_CASE("other mistakes end the program as well") {
  CHECK(contains(last_words([] { launch(not_in_its_mask, 1, 32, 0, nullptr); }),
                 "emulator: a lane is missing in its own mask in block (0,0,0)"));
  CHECK(contains(last_words([] { launch(throws, 2, 1, 0, nullptr); }),
                 "emulator: kernel: x is 1, expected 2 in block (0,0,0)"));
}

}  // namespace
}  // namespace sagitta
