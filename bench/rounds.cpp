#include "bench/rounds.h"

#include <cstdio>

#include "bench/machine.h"
#include "bench/process.h"
#include "tensor/error.h"

namespace sagitta::bench {

using Json = nlohmann::ordered_json;

Outcome run_command(const std::string& command) {
  const double start = seconds_now();
  const Ending ending = run_to_end({"/bin/sh", "-c", command});
  Outcome outcome;
  outcome.seconds = seconds_now() - start;
  require(ending.code == 0, "failed: {}", command);
  outcome.json = Json::parse(ending.last_line, nullptr, false);
  if (outcome.json.is_discarded()) outcome.json = nullptr;
  return outcome;
}

namespace {

Json table(const Contest& contest, const std::string& key,
           const std::vector<std::vector<Outcome>>& outcomes) {
  Json rows = Json::array();
  fmt::print("\n{}{}\n{:<36}{:>12}{:>18}{:>14}\n", contest.title, contest.keys.size() > 1 ? ": " + key : "",
             "", "seconds", contest.unit + "/s", "times ours");
  double ours = 0;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    const Contender& contender = contest.contenders[i];
    std::vector<double> seconds;
    for (const Outcome& outcome : outcomes[i])
      seconds.push_back(contender.whole_process ? outcome.seconds : outcome.json[key].get<double>());
    const double middle = median(seconds);
    if (i == 0) ours = middle;
    fmt::print("{:<36}{:>12.4f}{:>18.2f}{:>14.2f}\n", contender.name, middle, contest.work / middle,
               middle / ours);
    rows.push_back(
        {{"name", contender.name}, {"seconds", seconds}, {"median", middle}, {"times_ours", middle / ours}});
  }
  std::fflush(stdout);
  return rows;
}

}  // namespace

Json run(const Contest& contest, int rounds) {
  std::vector<std::vector<Outcome>> outcomes(contest.contenders.size());
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < contest.contenders.size(); ++i) {
      const Contender& contender = contest.contenders[i];
      if (!contender.before.empty()) run_command(contender.before);
      outcomes[i].push_back(run_command(contender.command));
      const Json& json = outcomes[i].back().json;
      for (const std::string& key : contest.keys)
        require(contender.whole_process || (json.is_object() && json.contains(key)), "no \"{}\" from: {}",
                key, contender.command);
    }
  }
  Json result{{"title", contest.title}, {"unit", contest.unit}, {"work", contest.work}};
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    result["commands"].push_back({{"name", contest.contenders[i].name},
                                  {"command", contest.contenders[i].command},
                                  {"last_answer", outcomes[i].back().json}});
  for (const std::string& key : contest.keys) result[key] = table(contest, key, outcomes);
  return result;
}

}  // namespace sagitta::bench
