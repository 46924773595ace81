// Ranking: the rows of one label in order of descending score, sorted once.
// All that depends on the order only - AUROC, average precision, operating points, curves - is then one walk
// over the rows, for any weighting of them. That makes thousands of bootstrap replicates cheap
// (nn/bootstrap.h). Invariant: rows with equal scores form one group; no threshold separates them.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "nn/confusion.h"

namespace sagitta::nn {

// What an operating point is asked to hold.
struct OperatingGoals {
  double specificity = 0.9, sensitivity = 0.9;
};

// A threshold and what it does; a score >= threshold counts as positive. The threshold is +infinity where
// nothing may be predicted positive, and NaN, with empty counts, where the goal is undefined (a class has no
// rows).
struct OperatingPoint {
  double threshold = 0;
  Confusion counts;
};

struct RankedMetrics {
  double auroc = 0;               // NaN unless both classes occur
  double average_precision = 0;   // NaN without positives
  OperatingPoint at_specificity;  // the highest sensitivity whose specificity is at least the goal
  OperatingPoint at_sensitivity;  // the highest specificity whose sensitivity is at least the goal
};

// The counts when all scores >= threshold are predicted positive.
struct RankingStep {
  double threshold = 0, true_positives = 0, false_positives = 0;
};

class Ranking {
 public:
  // Targets are 0 or 1. clusters[row] says which weight applies to a row; without clusters all rows are of
  // cluster 0. Throws Error for different lengths, or a score that is NaN.
  Ranking(std::span<const float> scores, std::span<const float> targets,
          std::span<const std::uint32_t> clusters = {});

  double positives() const { return positives_; }
  double negatives() const { return negatives_; }

  // Every row counted once.
  RankedMetrics measure(OperatingGoals goals = {}) const;
  // Row i counted weights[clusters[i]] times.
  RankedMetrics measure(std::span<const std::uint32_t> weights, OperatingGoals goals) const;
  // One step per distinct score, by descending threshold.
  std::vector<RankingStep> steps() const;

 private:
  struct Entry {
    std::uint32_t cluster : 30;
    std::uint32_t positive : 1;
    std::uint32_t ends_group : 1;
  };
  struct ClassCounts {
    std::uint32_t positives = 0, negatives = 0;
  };
  // visit(group, positives in it, negatives in it) in order of descending score.
  template <class Visit>
  void walk(std::span<const std::uint32_t> weights, Visit&& visit) const;

  std::vector<Entry> entries_;
  std::vector<float> thresholds_;        // score of each group
  std::vector<ClassCounts> in_cluster_;  // rows per cluster
  double positives_ = 0, negatives_ = 0;
};

}  // namespace sagitta::nn
