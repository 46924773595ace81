// Confusion: the four counts of a yes-or-no decision, and the shares that are read from them.
// The lowest floor of the statistics: curves, operating points and bootstrap replicates all end here. Counts
// are doubles because a replicate weights rows. A share with nothing in its denominator is NaN.
#pragma once
#include <limits>

namespace sagitta::nn {

struct Confusion {
  double true_positives = 0, false_positives = 0, true_negatives = 0, false_negatives = 0;

  double sensitivity() const { return share(true_positives, false_negatives); }  // recall
  double specificity() const { return share(true_negatives, false_positives); }
  double ppv() const { return share(true_positives, false_positives); }  // precision
  double npv() const { return share(true_negatives, false_negatives); }
  double f1() const { return share(2 * true_positives, false_positives + false_negatives); }

 private:
  static double share(double part, double rest) {
    return part + rest == 0 ? std::numeric_limits<double>::quiet_NaN() : part / (part + rest);
  }
};

}  // namespace sagitta::nn
