#include "nn/curves.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace sagitta::nn {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Distance of p to the line segment from a to b.
double distance(const CurvePoint& p, const CurvePoint& a, const CurvePoint& b) {
  const double dx = b.x - a.x, dy = b.y - a.y;
  const double length = dx * dx + dy * dy;
  const double along = length == 0 ? 0 : ((p.x - a.x) * dx + (p.y - a.y) * dy) / length;
  const double t = std::clamp(along, 0.0, 1.0);
  return std::hypot(p.x - a.x - t * dx, p.y - a.y - t * dy);
}

}  // namespace

std::vector<CurvePoint> roc_curve(const Ranking& ranking) {
  if (ranking.positives() == 0 || ranking.negatives() == 0) return {};
  std::vector<CurvePoint> curve{{0, 0, kInfinity}};
  for (const RankingStep& step : ranking.steps())
    curve.push_back({step.false_positives / ranking.negatives(), step.true_positives / ranking.positives(),
                     step.threshold});
  return curve;
}

std::vector<CurvePoint> precision_recall_curve(const Ranking& ranking) {
  if (ranking.positives() == 0) return {};
  std::vector<CurvePoint> curve{{0, 1, kInfinity}};
  for (const RankingStep& step : ranking.steps())
    curve.push_back({step.true_positives / ranking.positives(),
                     step.true_positives / (step.true_positives + step.false_positives), step.threshold});
  std::reverse(curve.begin(), curve.end());
  return curve;
}

std::vector<CurvePoint> thinned(const std::vector<CurvePoint>& curve, double tolerance) {
  if (curve.size() < 3) return curve;
  // Straight lines leave rounding errors of this size.
  const double limit = std::max(tolerance, 1e-12);
  std::vector<bool> kept(curve.size(), false);
  kept.front() = kept.back() = true;
  std::vector<std::pair<std::size_t, std::size_t>> open{{0, curve.size() - 1}};
  while (!open.empty()) {
    const auto [first, last] = open.back();
    open.pop_back();
    std::size_t farthest = first;
    double largest = limit;
    for (std::size_t i = first + 1; i < last; ++i)
      if (const double d = distance(curve[i], curve[first], curve[last]); d > largest) {
        largest = d;
        farthest = i;
      }
    if (farthest == first) continue;
    kept[farthest] = true;
    open.emplace_back(first, farthest);
    open.emplace_back(farthest, last);
  }
  std::vector<CurvePoint> result;
  for (std::size_t i = 0; i < curve.size(); ++i)
    if (kept[i]) result.push_back(curve[i]);
  return result;
}

}  // namespace sagitta::nn
