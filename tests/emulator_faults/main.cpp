// emulator_faults NAME correct|faulty: runs one planted fault, or its correct twin, under every schedule, and
// says how the result was. Exit code 0: right under all of them; 1: wrong under one; 2: usage; 3: the
// emulator stopped it.
#include <fmt/core.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "cuda/emulator/schedule.h"
#include "faults.h"

int main(int argc, char** argv) {
  using namespace sagitta::test;
  using sagitta::cuda::emulator::Schedule;
  const std::map<std::string, bool (*)(bool)> faults{{"missing_barrier", missing_barrier},
                                                     {"reduction_race", reduction_race},
                                                     {"out_of_bounds", out_of_bounds},
                                                     {"divergent_barrier", divergent_barrier}};
  const std::string variant = argc == 3 ? argv[2] : "";
  if ((variant != "correct" && variant != "faulty") || !faults.contains(argv[1])) {
    fmt::print(stderr,
               "usage: emulator_faults missing_barrier|reduction_race|out_of_bounds|divergent_barrier "
               "correct|faulty\n");
    return 2;
  }
  std::signal(SIGABRT, [](int) { std::_Exit(3); });  // ctest does not read what a crashed program said
  bool all_right = true;
  for (const auto& [schedule, name] : {std::pair{Schedule::ascending, "ascending"},
                                       {Schedule::descending, "descending"},
                                       {Schedule::random, "random"}}) {
    sagitta::cuda::emulator::set_schedule(schedule);
    const bool right = faults.at(argv[1])(variant == "faulty");
    fmt::print("schedule {}: {}\n", name, right ? "right" : "wrong result");
    std::fflush(stdout);
    all_right &= right;
  }
  return all_right ? 0 : 1;
}
