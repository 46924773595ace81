#include "apps/train/lr_finder.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/report/report.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;

}  // namespace

std::vector<LrTrial> find_learning_rate(TrainStep& step, data::Loader& loader, std::uint64_t seed,
                                        const LrFinderOptions& options) {
  std::vector<LrTrial> trials;
  double average = 0, lowest = 0;
  std::int64_t epoch = -1;
  std::optional<data::Batch> batch;
  for (std::int64_t i = 0; i < options.steps; ++i) {
    if (epoch >= 0) batch = loader.next();
    if (!batch) {
      loader.start(++epoch);
      batch = loader.next();
      require(batch.has_value(), "--find-lr: there is no batch to train on");
    }
    const double share = static_cast<double>(i) / static_cast<double>(options.steps - 1);
    const double rate = options.first * std::pow(options.last / options.first, share);
    step.upload(*batch);
    step.launch({.state = {.seed = seed,
                           .micro_step = static_cast<std::uint32_t>(i),
                           .optimizer_step = static_cast<std::uint32_t>(i + 1),
                           .learning_rate = rate}});
    const double loss = step.loss();
    if (!std::isfinite(loss)) break;
    average = options.smoothing * average + (1 - options.smoothing) * loss;
    const double smoothed = average / (1 - std::pow(options.smoothing, static_cast<double>(i + 1)));
    lowest = trials.empty() ? smoothed : std::min(lowest, smoothed);
    trials.push_back({rate, loss, smoothed});
    if (smoothed > options.divergence * lowest) break;
  }
  return trials;
}

double steepest_rate(const std::vector<LrTrial>& trials) {
  const auto lowest = std::min_element(trials.begin(), trials.end(), [](const LrTrial& a, const LrTrial& b) {
    return a.smoothed < b.smoothed;
  });
  // What comes after the lowest loss is on the way up again.
  const auto end = static_cast<std::size_t>(lowest - trials.begin());
  double steepest = 0, rate = 0;
  for (std::size_t i = 1; i < end; ++i) {
    const double fall = (trials[i + 1].smoothed - trials[i - 1].smoothed) /
                        std::log(trials[i + 1].learning_rate / trials[i - 1].learning_rate);
    if (fall >= steepest) continue;
    steepest = fall;
    rate = trials[i].learning_rate;
  }
  return rate;
}

void write_lr_finder(const std::filesystem::path& folder, const std::vector<LrTrial>& trials) {
  Json rates = Json::array(), losses = Json::array(), smoothed = Json::array();
  for (const LrTrial& trial : trials) {
    rates.push_back(trial.learning_rate);
    losses.push_back(trial.loss);
    smoothed.push_back(trial.smoothed);
  }
  const Json json{{"steepest", steepest_rate(trials)},
                  {"learning_rate", rates},
                  {"loss", losses},
                  {"smoothed", smoothed}};
  write_text_file(folder / "lr_finder.json", json.dump(1) + "\n");
  write_page("Learning-rate range test", {{"lr_finder", json}}, folder / "lr_finder.html");
}

}  // namespace sagitta::apps
