#include "nn/bootstrap.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <limits>
#include <mutex>
#include <thread>

#include "tensor/error.h"
#include "tensor/random.h"

namespace sagitta::nn {
namespace {

constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();
// The random stream of replicates, apart from the loader's, the split's and the layers'.
constexpr std::uint32_t kBootstrapStream = 0xB0075000u;

double quantile(const std::vector<double>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

std::vector<std::uint32_t> bootstrap_weights(std::size_t clusters, std::uint64_t seed,
                                             std::size_t replicate) {
  const random::Key key{seed, kBootstrapStream, static_cast<std::uint32_t>(replicate)};
  std::vector<std::uint32_t> weights(clusters, 0);
  // The high word of a product: uniform but for clusters / 2^32.
  for (std::size_t i = 0; i < clusters; ++i)
    ++weights[(static_cast<std::uint64_t>(random::bits(key, i)) * clusters) >> 32];
  return weights;
}

std::vector<double> Replicates::of(std::size_t statistic) const {
  std::vector<double> result;
  for (std::size_t i = statistic; i < values.size(); i += statistics) result.push_back(values[i]);
  return result;
}

Replicates cluster_bootstrap(std::size_t clusters, std::size_t statistics, const WeightedStatistics& measure,
                             const BootstrapOptions& options) {
  require(clusters > 0, "bootstrap: there are no clusters to draw from");
  Replicates result{.statistics = statistics, .values = {}};
  result.values.resize(options.replicates * statistics, kUndefined);
  std::atomic<std::size_t> next = 0;
  std::exception_ptr failure;
  std::mutex failing;
  const auto work = [&] {
    try {
      for (std::size_t r = next++; r < options.replicates; r = next++)
        measure(bootstrap_weights(clusters, options.seed, r),
                std::span(result.values).subspan(r * statistics, statistics));
    } catch (...) {
      const std::lock_guard lock(failing);
      failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (int i = 1; i < options.threads; ++i) helpers.emplace_back(work);
    work();
  }
  if (failure) std::rethrow_exception(failure);
  return result;
}

Interval percentile_interval(std::vector<double> replicates, double confidence) {
  require(confidence > 0 && confidence < 1, "bootstrap: confidence is {}, expected in (0, 1)", confidence);
  const std::size_t undefined = std::erase_if(replicates, [](double value) { return std::isnan(value); });
  // Rounding must not ask for one more.
  if (static_cast<double>(replicates.size()) * (1 - confidence) < 2 - 1e-9)
    return {.low = kUndefined, .high = kUndefined, .undefined = undefined};
  std::sort(replicates.begin(), replicates.end());
  return {.low = quantile(replicates, (1 - confidence) / 2),
          .high = quantile(replicates, (1 + confidence) / 2),
          .undefined = undefined};
}

double bootstrap_p(std::span<const double> differences) {
  double below = 0, above = 0, defined = 0;
  for (double difference : differences) {
    if (std::isnan(difference)) continue;
    defined += 1;
    below += difference <= 0;
    above += difference >= 0;
  }
  return defined == 0 ? kUndefined : std::min(1.0, 2 * (1 + std::min(below, above)) / (1 + defined));
}

}  // namespace sagitta::nn
