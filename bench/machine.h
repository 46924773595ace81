// What a benchmark must know about the machine under it: its name, how busy others keep it, and the
// arithmetic of measured times. A figure taken beside other work is not a figure, so benchmarks wait until
// the machine is idle and report what other processes took while they ran.
#pragma once
#include <functional>
#include <string>
#include <vector>

namespace sagitta::bench {

// The processor's name. Virtual machines name whole generations alike; family and model tell them apart.
std::string machine_name();
std::string today();  // "2026-11-23", UTC

double seconds_now();                       // of a clock that never goes back
double median(std::vector<double> values);  // 0 of none

// The median time of single runs of `run`: as many as fit into `budget` seconds, at least one. `before` runs
// before each, untimed; it may be empty.
double median_seconds(double budget, const std::function<void()>& run,
                      const std::function<void()>& before = {});

// CPU time that was used up to one moment, in seconds summed over the processors.
struct CpuTime {
  double wall = 0;
  double all = 0;   // by everything on the machine, the hypervisor's other guests included where it tells
  double nice = 0;  // part of `all`: by processes of low priority, which give way to a benchmark
  double own = 0;   // by this process and all its descendants
};
CpuTime cpu_time();

// The most memory that this process has had so far, in MB. (getrusage's ru_maxrss is no measure of it: a
// process inherits that of the one that started it.)
double process_peak_mb();

// Processors that other processes kept busy between two moments: 0.25 is a quarter of one.
double others_between(const CpuTime& from, const CpuTime& to);

// Waits until other processes (but those of low priority) use less than a tenth of a processor. False when
// they still use more after `limit` seconds.
bool wait_until_idle(double limit);

}  // namespace sagitta::bench
