#include "apps/engine/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace sagitta::apps {
namespace {

constexpr int kBarCells = 24;
constexpr const char* kClearLine = "\r\033[K";

// Columns of the terminal; plenty where it does not say.
std::size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 1000;
}

bool shows_unicode() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"})
    if (const char* value = std::getenv(name); value && *value)
      return std::string_view(value).find("UTF-8") != std::string_view::npos ||
             std::string_view(value).find("utf8") != std::string_view::npos;
  return false;
}

std::string bar(double share) {
  const bool unicode = shows_unicode();
  const int full = static_cast<int>(std::clamp(share, 0.0, 1.0) * kBarCells);
  std::string text;
  for (int i = 0; i < kBarCells; ++i) text += i < full ? (unicode ? "━" : "#") : (unicode ? "─" : ".");
  return text;
}

}  // namespace

Progress::Progress(std::string label, std::string unit, std::int64_t total, std::int64_t already_done,
                   Voice voice)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      first_(already_done),
      done_(already_done),
      voice_(voice),
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
  if (voice_ == Voice::normal) warn(line);
}

void Progress::warn(const std::string& line) {
  const std::lock_guard lock(mutex_);
  fmt::print(stderr, "{}{}\n", terminal_ ? kClearLine : "", line);
}

double Progress::rate() const {
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  return static_cast<double>(done_ - first_) / std::max(seconds, 1e-9);
}

std::string Progress::line(bool final) const {
  const double per_second = rate();
  const double left = per_second > 0 ? static_cast<double>(total_ - done_) / per_second : 0;
  std::string text = fmt::format("{}/{} {}  {:.3g} {}/s{}{}", done_, total_, unit_, per_second, unit_,
                                 details_.empty() ? "" : "  ", details_);
  if (!final && per_second > 0) text += fmt::format("  {} left", format_duration(left));
  if (!terminal_) return label_ + " " + text;
  // A line that wraps could not be drawn again in place: it loses its bar first, then its end.
  const std::size_t width = terminal_width() - 1;
  if (label_.size() + kBarCells + text.size() + 4 <= width)
    return fmt::format(
        "{} {}  {}", label_,
        bar(static_cast<double>(done_) / static_cast<double>(std::max<std::int64_t>(1, total_))), text);
  return (label_ + " " + text).substr(0, width);
}

void Progress::draw(bool final) {
  if (voice_ == Voice::quiet) return;
  fmt::print(stderr, "{}{}{}", terminal_ ? kClearLine : "", line(final), terminal_ && !final ? "" : "\n");
  std::fflush(stderr);
  drawn_ = true;
}

std::string format_duration(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(std::max(0.0, seconds)));
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string format_bytes(double bytes) {
  return bytes < 1e9 ? fmt::format("{:.0f} MB", bytes / 1e6) : fmt::format("{:.1f} GB", bytes / 1e9);
}

}  // namespace sagitta::apps
