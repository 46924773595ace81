#include "apps/engine/stop_signal.h"

#include <atomic>
#include <csignal>

namespace sagitta::apps {
namespace {

constexpr int kSignals[] = {SIGTERM, SIGINT};

// A signal handler can reach nothing but global state.
std::atomic<int> noted{0};
static_assert(std::atomic<int>::is_always_lock_free);

void note(int signal) { noted = signal; }

}  // namespace

StopSignal::StopSignal() {
  noted = 0;
  struct sigaction action {};
  action.sa_handler = note;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  for (const int signal : kSignals) sigaction(signal, &action, nullptr);
}

StopSignal::~StopSignal() {
  for (const int signal : kSignals) std::signal(signal, SIG_DFL);
}

const char* StopSignal::received() const {
  const int signal = noted;
  return signal == SIGTERM ? "SIGTERM" : signal == SIGINT ? "SIGINT" : nullptr;
}

}  // namespace sagitta::apps
