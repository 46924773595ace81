// StepTrace: a few training steps as a picture over time: every op with its layer and shapes, in the lane of
// the phase that it belongs to, and the memory in use. It looks at some steps only; before and after them the
// backend is not observed, and a GPU launches its recorded steps.
// On a GPU the trace waits for each op, so that a span is the op's own time on the device. The step as a
// whole then takes longer than one that nobody watches; the file says so.
#pragma once
#include <atomic>
#include <filesystem>

#include "apps/observe/call_place.h"
#include "apps/observe/trace_events.h"

namespace sagitta::apps {

struct StepTraceOptions {
  std::int64_t first_step = 0;  // numbers as StepPhases::step() gets them
  std::int64_t steps = 1;
  std::string process = "sagitta";  // the program's name
};

class StepTrace final : public BackendObserver, public StepPhases::Listener {
 public:
  using Clock = TraceEvents::Clock;

  // All must outlive it. Begins and ends by itself, with the steps.
  StepTrace(ObservedBackend& backend, const LayerNames& names, StepPhases& phases,
            const StepTraceOptions& options);
  ~StepTrace() override;
  StepTrace(const StepTrace&) = delete;
  StepTrace& operator=(const StepTrace&) = delete;

  // True once the last of the steps is over.
  bool is_complete() const { return steps_seen_ == options_.steps; }
  // The file, with what was seen so far; complete or not at all.
  void write(const std::filesystem::path& file) const;

  // A span of the caller's, such as the loading of one batch; from any thread. Spans of one lane must not
  // overlap, so threads that work at the same time have lanes of their own: "loader 0", "loader 1".
  // Nothing is kept of spans outside of the traced steps.
  void add_span(std::string_view lane, std::string_view name, Clock::time_point begin, Clock::time_point end);

  void before(const BackendCall& call) override;
  void after(const BackendCall& call) override;
  void opened(const StepPhases::Phase& phase) override;
  void closed(const StepPhases::Phase& phase) override;

 private:
  ObservedBackend& backend_;
  StepPhases& phases_;
  StepTraceOptions options_;
  CallPlaces places_;
  TraceEvents events_;
  std::vector<Clock::time_point> phase_begins_;
  Clock::time_point op_begin_;
  std::atomic<bool> is_active_ = false;
  std::int64_t steps_seen_ = 0;
};

}  // namespace sagitta::apps
