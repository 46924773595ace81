// One calm progress line on stderr: redrawn in place on a terminal, with a bar; a line every ten seconds
// elsewhere.
#pragma once
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace sagitta::apps {

class Progress {
 public:
  // How much is said: `quiet` draws nothing, and notes() nothing either.
  enum class Voice { normal, quiet };

  // `unit` names what is counted ("studies", "images"); `already_done` of `total` were finished earlier and
  // do not count for the rate.
  Progress(std::string label, std::string unit, std::int64_t total, std::int64_t already_done = 0,
           Voice voice = Voice::normal);
  ~Progress();  // ends the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Reports `done` units so far; `details` ("loss 0.123") stand behind the count. May be called by several
  // threads.
  void update(std::int64_t done, const std::string& details = "");
  // Prints a line of its own above the progress line.
  void note(const std::string& line);
  // The same of what the user has to know in any case.
  void warn(const std::string& line);
  // Units per second since the start.
  double rate() const;

 private:
  using Clock = std::chrono::steady_clock;
  void draw(bool final);
  std::string line(bool final) const;

  mutable std::mutex mutex_;
  std::string label_, unit_, details_;
  std::int64_t total_, first_, done_;
  Voice voice_;
  bool terminal_, drawn_ = false;
  Clock::time_point start_ = Clock::now(), shown_ = start_;
};

// "1:02:03", "2:05"
std::string format_duration(double seconds);
// "812 MB", "1.4 GB"
std::string format_bytes(double bytes);

}  // namespace sagitta::apps
