// Curves of a classifier: receiver operating characteristic and precision against recall, as scikit-learn
// defines them, and thinned to what a picture can show.
#pragma once
#include <vector>

#include "nn/ranking.h"

namespace sagitta::nn {

struct CurvePoint {
  double x = 0, y = 0, threshold = 0;  // a score >= threshold counts as positive
};

// x = false positive rate, y = true positive rate, from (0, 0) with threshold +infinity to (1, 1): the points
// of sklearn.metrics.roc_curve(drop_intermediate=False). Empty unless both classes occur.
std::vector<CurvePoint> roc_curve(const Ranking& ranking);

// x = recall, y = precision, from the lowest threshold to (0, 1) with threshold +infinity: the points of
// sklearn.metrics.precision_recall_curve. Empty without positives.
std::vector<CurvePoint> precision_recall_curve(const Ranking& ranking);

// Leaves out points that no one would see: every point left out lies within `tolerance` of the line between
// the kept ones around it, so corners stay; first and last are kept. With tolerance 0 only points on straight
// lines go. (Ramer 1972, "An iterative procedure for the polygonal approximation of plane curves".)
std::vector<CurvePoint> thinned(const std::vector<CurvePoint>& curve, double tolerance);

}  // namespace sagitta::nn
