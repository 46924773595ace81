// Rounds: commands run in turn, ours and theirs, so that all see the same machine; medians, a table, JSON.
// Used by bench_reading. Invariant: every figure is of a process of its own that succeeded.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace sagitta::bench {

struct Contender {
  std::string name;
  std::string command;
  std::string before = {};     // run before each round, not timed
  bool whole_process = false;  // its time from start to end, instead of what it says
};

struct Contest {
  std::string title;
  std::string unit;                   // what `work` counts
  double work = 1;                    // done by each command; the table shows work per second
  std::vector<Contender> contenders;  // ours first
  // The figures, a table each: keys of numbers in the JSON line that a command prints last.
  std::vector<std::string> keys = {"seconds"};
};

// Runs `rounds` rounds, prints the tables and returns them. Throws Error if a command fails.
nlohmann::ordered_json run(const Contest& contest, int rounds);

// Seconds that a shell command takes, and the JSON object on the last line that it prints (null if there is
// none).
struct Outcome {
  double seconds = 0;
  nlohmann::ordered_json json;
};
Outcome run_command(const std::string& command);

}  // namespace sagitta::bench
