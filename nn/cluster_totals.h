// ClusterTotals: sums over the rows of each cluster. Whatever is a sum over rows - counts, squared errors,
// losses, the bins of a calibration - needs no row again: under any weighting it is a weighted sum of these.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace sagitta::nn {

class ClusterTotals {
 public:
  ClusterTotals(std::size_t clusters, std::size_t sums) : sums_(sums), totals_(clusters * sums, 0.0) {}

  std::size_t sums() const { return sums_; }
  double& at(std::size_t cluster, std::size_t sum) { return totals_[cluster * sums_ + sum]; }

  // Every sum with cluster c counted weights[c] times.
  std::vector<double> weighted(std::span<const std::uint32_t> weights) const {
    std::vector<double> result(sums_, 0.0);
    for (std::size_t cluster = 0; cluster < weights.size(); ++cluster) {
      if (weights[cluster] == 0) continue;
      const double weight = weights[cluster];
      const double* mine = totals_.data() + cluster * sums_;
      for (std::size_t i = 0; i < sums_; ++i) result[i] += weight * mine[i];
    }
    return result;
  }

 private:
  std::size_t sums_;
  std::vector<double> totals_;  // row-major [clusters, sums]
};

}  // namespace sagitta::nn
