#include "bench/machine.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <thread>

namespace sagitta::bench {
namespace {

namespace fs = std::filesystem;

struct ProcessTime {
  long parent = 0;
  double ticks = 0;  // its own and those of its children that have ended
};

// From /proc/PID/stat: "pid (name) state parent ..." with the times as fields 14 to 17. False when the
// process has just ended.
bool read_process(const fs::path& folder, ProcessTime& process) {
  std::ifstream file(folder / "stat");
  std::string text;
  if (!std::getline(file, text)) return false;
  // The name may hold spaces and parentheses.
  std::istringstream rest(text.substr(std::min(text.size(), text.rfind(')') + 1)));
  std::string state, skipped;
  rest >> state >> process.parent;
  for (int field = 5; field < 14; ++field) rest >> skipped;
  for (int field = 14; field <= 17; ++field) {
    double ticks = 0;
    rest >> ticks;
    process.ticks += ticks;
  }
  return static_cast<bool>(rest);
}

double own_ticks() {
  std::map<long, ProcessTime> processes;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    long id = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
    ProcessTime process;
    if (error == std::errc() && end == name.data() + name.size() && read_process(entry.path(), process))
      processes[id] = process;
  }
  const long self = getpid();
  double ticks = 0;
  for (const auto& [id, process] : processes) {
    long ancestor = id;
    while (ancestor != self && processes.contains(ancestor)) ancestor = processes[ancestor].parent;
    if (ancestor == self) ticks += process.ticks;
  }
  return ticks;
}

}  // namespace

std::string machine_name() {
  std::ifstream file("/proc/cpuinfo");
  std::map<std::string, std::string> facts;  // of the first processor
  for (std::string line; std::getline(file, line) && !line.empty();) {
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos)
      facts[line.substr(0, line.find_first_of("\t:"))] = line.substr(colon + 2);
  }
  if (!facts.contains("model name")) return "unknown";
  if (!facts.contains("cpu family")) return facts["model name"];
  return fmt::format("{} (family {}, model {})", facts["model name"], facts["cpu family"], facts["model"]);
}

std::string today() {
  const std::chrono::year_month_day date(
      std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now()));
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()));
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n == 0 ? 0 : (values[(n - 1) / 2] + values[n / 2]) / 2;
}

double median_seconds(double budget, const std::function<void()>& run, const std::function<void()>& before) {
  std::vector<double> seconds;
  const double end = seconds_now() + budget;
  do {
    if (before) before();
    const double begin = seconds_now();
    run();
    seconds.push_back(seconds_now() - begin);
  } while (seconds_now() < end);
  return median(seconds);
}

CpuTime cpu_time() {
  const double per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  // "cpu user nice system idle iowait irq softirq steal ..."; what follows is contained in the first two.
  std::ifstream file("/proc/stat");
  std::string label;
  double ticks[8] = {};
  file >> label;
  for (double& each : ticks) file >> each;
  double busy = 0;
  for (int field = 0; field < 8; ++field) busy += field == 3 || field == 4 ? 0 : ticks[field];
  return {.wall = seconds_now(),
          .all = busy / per_second,
          .nice = ticks[1] / per_second,
          .own = own_ticks() / per_second};
}

double process_peak_mb() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;  // "VmHWM:   12345 kB"
  return 0;
}

double others_between(const CpuTime& from, const CpuTime& to) {
  const double used = (to.all - from.all) - (to.own - from.own);
  return std::max(0.0, used / std::max(1e-3, to.wall - from.wall));
}

bool wait_until_idle(double limit) {
  constexpr double kBusy = 0.1;  // of a processor
  constexpr auto kWindow = std::chrono::milliseconds(250);
  const double end = seconds_now() + limit;
  for (CpuTime from = cpu_time(); seconds_now() < end;) {
    std::this_thread::sleep_for(kWindow);
    const CpuTime to = cpu_time();
    const double nice = (to.nice - from.nice) / (to.wall - from.wall);
    if (others_between(from, to) - nice < kBusy) return true;
    from = to;
  }
  return false;
}

}  // namespace sagitta::bench
