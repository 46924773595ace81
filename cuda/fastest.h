// fastest: which of several ways to do the same work takes the least time on this GPU.
// Libraries know many algorithms for one product or convolution and guess well, but not always; trying the
// first few once per shape is worth it in a program that repeats the shape a million times.
#pragma once
#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <optional>
#include <vector>

#include "cuda/check.h"

namespace sagitta::cuda {

// An event of its own, gone with the scope.
class TimedEvent {
 public:
  TimedEvent() { check(cudaEventCreate(&event_)); }
  ~TimedEvent() { cudaEventDestroy(event_); }
  TimedEvent(const TimedEvent&) = delete;
  TimedEvent& operator=(const TimedEvent&) = delete;

  void record(cudaStream_t stream) { check(cudaEventRecord(event_, stream)); }
  // Waits for this event.
  float milliseconds_since(const TimedEvent& begin) const {
    float time = 0;
    check(cudaEventSynchronize(event_));
    check(cudaEventElapsedTime(&time, begin.event_, event_));
    return time;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

// The index of the fastest of `count` candidates; run(i) enqueues candidate i on `stream` and returns false
// when it cannot. Candidates come best guess first, and a later one must beat an earlier one by 2 %, so that
// noise changes the choice less often. Empty when none can run. Waits for the stream, so never while
// capturing.
template <class Run>
std::optional<std::size_t> fastest(cudaStream_t stream, std::size_t count, const Run& run) {
  constexpr int kRounds = 3, kRuns = 4;
  constexpr float kMargin = 0.98F;
  std::vector<float> shortest(count, std::numeric_limits<float>::infinity());
  std::vector<bool> runs(count, true);
  TimedEvent begin, end;
  // Round by round, not candidate by candidate: the clock of a GPU drifts while it warms up.
  for (int round = 0; round < kRounds; ++round)
    for (std::size_t i = 0; i < count; ++i) {
      // The first run loads the kernel, and keeps the GPU busy while the host enqueues those that are timed.
      runs[i] = runs[i] && run(i);
      begin.record(stream);
      for (int timed = 0; timed < kRuns; ++timed) runs[i] = runs[i] && run(i);
      end.record(stream);
      const float time = end.milliseconds_since(begin);
      if (runs[i]) shortest[i] = std::min(shortest[i], time);
    }
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < count; ++i)
    if (runs[i] && (!best || shortest[i] < kMargin * shortest[*best])) best = i;
  return best;
}

}  // namespace sagitta::cuda
