// The cluster bootstrap: how far a statistic would move with other patients.
// A replicate draws as many clusters as there are, with replacement; a cluster is a patient, whose slices
// come and go together because they are alike (Davison and Hinkley 1997, section 3.8; Field and Welsh 2007).
// A replicate is given to the statistic as a weight per cluster, so nothing is copied or sorted again.
// Invariant: replicate r is a function of (seed, r, number of clusters), not of threads; two models measured
// in one call see the same patients.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace sagitta::nn {

struct BootstrapOptions {
  std::size_t replicates = 2000;
  std::uint64_t seed = 0;
  int threads = 1;
};

// Writes the statistics of the rows weighted so; NaN where one is undefined. Called by several threads at
// once.
using WeightedStatistics =
    std::function<void(std::span<const std::uint32_t> weights, std::span<double> statistics)>;

// How often each of `clusters` clusters is drawn in a replicate.
std::vector<std::uint32_t> bootstrap_weights(std::size_t clusters, std::uint64_t seed, std::size_t replicate);

struct Replicates {
  std::size_t statistics = 0;
  std::vector<double> values;  // row-major [replicates, statistics]

  std::vector<double> of(std::size_t statistic) const;
};
Replicates cluster_bootstrap(std::size_t clusters, std::size_t statistics, const WeightedStatistics& measure,
                             const BootstrapOptions& options);

struct Interval {
  double low = 0, high = 0;
  std::size_t undefined = 0;  // replicates left out because the statistic is undefined in them
};
// Percentiles (1 -+ confidence) / 2 of the replicates that are defined, linear between neighbors as numpy's
// default. NaN when fewer than 2 / (1 - confidence) are: then the tails hold no replicate.
Interval percentile_interval(std::vector<double> replicates, double confidence = 0.95);

// Two-sided p-value of "the difference is 0" from replicates of a difference: the smallest level at which its
// percentile interval leaves out 0, 2 (1 + number beyond 0) / (1 + number), at most 1. NaN when none is
// defined.
double bootstrap_p(std::span<const double> differences);

}  // namespace sagitta::nn
