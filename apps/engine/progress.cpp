#include "apps/engine/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace sagitta::apps {

Progress::Progress(std::string label, std::string unit, std::int64_t total, std::int64_t already_done)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      first_(already_done),
      done_(already_done),
      terminal_(isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  const std::lock_guard lock(mutex_);
  if (terminal_ ? drawn_ : done_ > first_) draw(true);
}

void Progress::update(std::int64_t done, const std::string& details) {
  const std::lock_guard lock(mutex_);
  done_ = std::max(done_, done);
  details_ = details;
  const auto now = Clock::now();
  if (now - shown_ < (terminal_ ? std::chrono::milliseconds(200) : std::chrono::seconds(10))) return;
  shown_ = now;
  draw(false);
}

void Progress::note(const std::string& line) {
  const std::lock_guard lock(mutex_);
  fmt::print(stderr, "{}{}\n", terminal_ ? "\r\033[K" : "", line);
}

double Progress::rate() const {
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  return static_cast<double>(done_ - first_) / std::max(seconds, 1e-9);
}

void Progress::draw(bool final) {
  const double per_second = rate();
  const double left = per_second > 0 ? static_cast<double>(total_ - done_) / per_second : 0;
  const std::string time = final || per_second <= 0 ? "" : fmt::format("  {} left", format_duration(left));
  fmt::print(stderr, "{}{} {}/{} {}  {:.3g} {}/s{}{}{}{}", terminal_ ? "\r\033[K" : "", label_, done_, total_,
             unit_, per_second, unit_, details_.empty() ? "" : "  ", details_, time,
             terminal_ && !final ? "" : "\n");
  std::fflush(stderr);
  drawn_ = true;
}

std::string format_duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(std::max(0.0, seconds)));
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace sagitta::apps
