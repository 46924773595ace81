// StopSignal: SIGTERM and SIGINT (Ctrl-C) as a question that a loop asks, so that it can save its work and
// end. The first signal is noted; a second one ends the program as it always did.
#pragma once

namespace sagitta::apps {

class StopSignal {
 public:
  // From here on signals are noted; one object at a time, since signals belong to the process.
  StopSignal();
  ~StopSignal();  // restores what signals did before
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  // "SIGTERM" or "SIGINT"; null when none has arrived.
  const char* received() const;
};

}  // namespace sagitta::apps
