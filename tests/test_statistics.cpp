// Statistics of nn/ beside scikit-learn, scipy, numpy and pROC (tests/golden/make_statistics.py).
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "nn/calibration.h"
#include "nn/curves.h"
#include "nn/delong.h"
#include "nn/logistic_regression.h"
#include "nn/metrics.h"
#include "nn/normal_distribution.h"
#include "nn/ranking.h"
#include "tensor/error.h"

using namespace sagitta;
using namespace sagitta::nn;
using Json = nlohmann::json;

namespace {

const Json& golden() {
  static const Json json = Json::parse(
      std::ifstream(SAGITTA_SOURCE_DIR + std::string("/tests/golden/statistics/statistics.json")));
  return json;
}

std::vector<float> floats(const Json& json) { return json.get<std::vector<float>>(); }

void check_curve(const std::vector<CurvePoint>& curve, const Json& expected) {
  REQUIRE(curve.size() == expected["x"].size());
  for (std::size_t i = 0; i < curve.size(); ++i) {
    CHECK(curve[i].x == doctest::Approx(expected["x"][i].get<double>()).epsilon(1e-12));
    CHECK(curve[i].y == doctest::Approx(expected["y"][i].get<double>()).epsilon(1e-12));
    if (expected["thresholds"][i].is_null())
      CHECK(std::isinf(curve[i].threshold));
    else
      CHECK(curve[i].threshold == expected["thresholds"][i].get<double>());
  }
}

double area_under(const std::vector<CurvePoint>& curve) {
  double area = 0;
  for (std::size_t i = 1; i < curve.size(); ++i)
    area += (curve[i].x - curve[i - 1].x) * (curve[i].y + curve[i - 1].y) / 2;
  return area;
}

double distance_to(const std::vector<CurvePoint>& line, const CurvePoint& p) {
  double nearest = 1e9;
  for (std::size_t i = 1; i < line.size(); ++i)
    for (int step = 0; step <= 200; ++step) {
      const double t = step / 200.0;
      nearest = std::min(nearest, std::hypot(p.x - (1 - t) * line[i - 1].x - t * line[i].x,
                                             p.y - (1 - t) * line[i - 1].y - t * line[i].y));
    }
  return nearest;
}

}  // namespace

TEST_CASE("areas, curves and scores agree with scikit-learn") {
  REQUIRE(golden()["cases"].size() == 2);
  for (const Json& expected : golden()["cases"]) {
    const std::vector<float> scores = floats(expected["a"]), targets = floats(expected["targets"]);
    CHECK(auroc(scores, targets) == doctest::Approx(expected["auroc"].get<double>()).epsilon(1e-12));
    CHECK(average_precision(scores, targets) ==
          doctest::Approx(expected["average_precision"].get<double>()).epsilon(1e-12));
    CHECK(at_threshold(scores, targets, 0.5).f1() ==
          doctest::Approx(expected["f1"].get<double>()).epsilon(1e-12));
    CHECK(brier_score(scores, targets) == doctest::Approx(expected["brier"].get<double>()).epsilon(1e-12));
    const Ranking ranking(scores, targets);
    check_curve(roc_curve(ranking), expected["roc"]);
    check_curve(precision_recall_curve(ranking), expected["precision_recall"]);
  }
}

TEST_CASE("reliability bins agree with scikit-learn, and their error with its definition") {
  for (const Json& expected : golden()["cases"]) {
    const std::vector<float> scores = floats(expected["a"]), targets = floats(expected["targets"]);
    const std::vector<CalibrationBin> bins = calibration_bins(scores, targets, 10);
    std::size_t filled = 0;
    double error = 0;
    for (const CalibrationBin& bin : bins) {
      if (bin.rows == 0) continue;
      REQUIRE(filled < expected["calibration"]["observed"].size());
      CHECK(bin.observed() == doctest::Approx(expected["calibration"]["observed"][filled].get<double>()));
      CHECK(bin.mean_predicted() ==
            doctest::Approx(expected["calibration"]["predicted"][filled].get<double>()));
      error +=
          bin.rows / static_cast<double>(scores.size()) * std::abs(bin.observed() - bin.mean_predicted());
      ++filled;
    }
    CHECK(filled == expected["calibration"]["observed"].size());
    CHECK(expected_calibration_error(bins) == doctest::Approx(error));
  }
  CHECK(calibration_bin(0, 10) == 0);
  CHECK(calibration_bin(0.1, 10) == 0);
  CHECK(calibration_bin(0.10001, 10) == 1);
  CHECK(calibration_bin(1, 10) == 9);
  CHECK_THROWS_AS(calibration_bin(1.5, 10), Error);
  CHECK(std::isnan(expected_calibration_error(calibration_bins({}, {}, 10))));
}

TEST_CASE("operating points are the best that keep the goal") {
  for (const Json& expected : golden()["cases"]) {
    const std::vector<float> scores = floats(expected["a"]), targets = floats(expected["targets"]);
    const Ranking ranking(scores, targets);
    for (const auto& [goal, best] : expected["at_specificity"].items()) {
      const OperatingPoint point = ranking.measure({.specificity = std::stod(goal)}).at_specificity;
      CAPTURE(goal);
      CHECK(point.counts.true_positives == best["true_positives"]);
      CHECK(point.counts.false_positives == best["false_positives"]);
      if (best["threshold"].is_null())
        CHECK(std::isinf(point.threshold));
      else
        CHECK(point.threshold == best["threshold"].get<double>());
    }
    // Sensitivity is specificity with the classes exchanged: among all thresholds by brute force.
    for (const double goal : {0.5, 0.9, 1.0}) {
      double best = -1;
      for (const float threshold : scores) {
        const Confusion counts = at_threshold(scores, targets, threshold);
        if (counts.sensitivity() >= goal - 1e-9) best = std::max(best, counts.specificity());
      }
      const OperatingPoint point = ranking.measure({.sensitivity = goal}).at_sensitivity;
      CHECK(point.counts.sensitivity() >= goal - 1e-9);
      CHECK(point.counts.specificity() == best);
      CHECK(at_threshold(scores, targets, point.threshold).true_positives == point.counts.true_positives);
    }
  }
  const std::vector<float> ten{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, targets{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  // (1 - 0.9) * 10 is a little below 1: the one false positive that is allowed must be.
  CHECK(Ranking(ten, targets).measure({.specificity = 0.9}).at_specificity.counts.false_positives == 1);
  const std::vector<float> two{0.2F, 0.4F}, zeros{0, 0};
  CHECK(std::isnan(Ranking(two, zeros).measure().at_sensitivity.threshold));
  CHECK(std::isnan(Ranking(two, zeros).measure().at_specificity.counts.sensitivity()));
}

TEST_CASE("weights are repetitions of rows") {
  const Json& sample = golden()["cases"][0];
  const std::vector<float> scores = floats(sample["a"]), targets = floats(sample["targets"]);
  std::vector<std::uint32_t> clusters;
  for (std::size_t i = 0; i < scores.size(); ++i) clusters.push_back(static_cast<std::uint32_t>(i * 7 % 11));
  const Ranking ranking(scores, targets, clusters);
  for (std::uint32_t variant = 0; variant < 20; ++variant) {
    std::vector<std::uint32_t> weights;
    for (std::uint32_t c = 0; c < 11; ++c) weights.push_back((c * c + variant * (c + 3)) % 4);
    std::vector<float> repeated, repeated_targets;
    for (std::size_t i = 0; i < scores.size(); ++i)
      for (std::uint32_t k = 0; k < weights[clusters[i]]; ++k) {
        repeated.push_back(scores[i]);
        repeated_targets.push_back(targets[i]);
      }
    const RankedMetrics by_weight = ranking.measure(weights, {});
    const RankedMetrics by_rows = Ranking(repeated, repeated_targets).measure();
    CHECK(by_weight.auroc == doctest::Approx(by_rows.auroc).epsilon(1e-12));
    CHECK(by_weight.average_precision == doctest::Approx(by_rows.average_precision).epsilon(1e-12));
    CHECK(by_weight.at_specificity.counts.sensitivity() == by_rows.at_specificity.counts.sensitivity());
    CHECK(by_weight.at_specificity.counts.npv() == by_rows.at_specificity.counts.npv());
    CHECK(by_weight.at_sensitivity.counts.specificity() == by_rows.at_sensitivity.counts.specificity());
  }
  CHECK_THROWS_AS(ranking.measure(std::vector<std::uint32_t>(10, 1), {}), Error);
  CHECK_THROWS_WITH_AS(Ranking(std::vector<float>{NAN}, std::vector<float>{1}), doctest::Contains("NaN"),
                       Error);
}

TEST_CASE("a thinned curve keeps its corners") {
  for (const Json& expected : golden()["cases"]) {
    const Ranking ranking(floats(expected["a"]), floats(expected["targets"]));
    const std::vector<CurvePoint> roc = roc_curve(ranking);
    const std::vector<CurvePoint> exact = thinned(roc, 0);
    CHECK(exact.size() <= expected["roc_corners"]);  // scikit-learn's drop_intermediate keeps a few more
    CHECK(area_under(exact) == doctest::Approx(expected["auroc"].get<double>()).epsilon(1e-12));
    for (const auto& curve : {roc, precision_recall_curve(ranking)}) {
      const std::vector<CurvePoint> coarse = thinned(curve, 0.03);
      CHECK(coarse.size() < curve.size());
      CHECK(coarse.front().threshold == curve.front().threshold);
      CHECK(coarse.back().threshold == curve.back().threshold);
      for (const CurvePoint& point : curve) CHECK(distance_to(coarse, point) < 0.032);
    }
  }
  // A corner far from the rest stays, whatever lies on the lines that lead to it.
  std::vector<CurvePoint> corner;
  for (int i = 0; i <= 50; ++i) corner.push_back({0, i / 50.0, 1.0 - i / 200.0});
  for (int i = 1; i <= 50; ++i) corner.push_back({i / 50.0, 1, 0.5 - i / 200.0});
  const std::vector<CurvePoint> kept = thinned(corner, 0.01);
  REQUIRE(kept.size() == 3);
  CHECK(kept[1].y == 1);
  CHECK(kept[1].threshold == 0.75);
}

TEST_CASE("DeLong's variance, interval and test agree with pROC") {
  for (const Json& expected : golden()["cases"]) {
    const std::vector<float> a = floats(expected["a"]), b = floats(expected["b"]),
                             targets = floats(expected["targets"]);
    const Json& proc = expected["delong"];
    const std::vector<float> models[] = {a, b};
    const DelongAreas areas = delong_areas(models, targets);
    CHECK(areas.aurocs[0] == doctest::Approx(auroc(a, targets)).epsilon(1e-12));
    CHECK(areas.covariance[0] == doctest::Approx(proc["variance"].get<double>()).epsilon(1e-9));
    CHECK(areas.covariance[1] == doctest::Approx(proc["covariance"].get<double>()).epsilon(1e-9));
    CHECK(areas.covariance[2] == areas.covariance[1]);
    const DelongInterval interval = delong_interval(a, targets);
    CHECK(interval.low == doctest::Approx(proc["low"].get<double>()).epsilon(1e-9));
    CHECK(interval.high == doctest::Approx(proc["high"].get<double>()).epsilon(1e-9));
    const DelongComparison comparison = delong_comparison(a, b, targets);
    CHECK(comparison.z == doctest::Approx(proc["z"].get<double>()).epsilon(1e-9));
    CHECK(comparison.p == doctest::Approx(proc["p"].get<double>()).epsilon(1e-8));
    CHECK(std::isnan(delong_comparison(a, a, targets).p));
    CHECK(delong_comparison(a, a, targets).standard_error == 0);
  }
  const std::vector<float> scores{0.1F, 0.2F, 0.9F};
  CHECK(std::isnan(delong_interval(scores, std::vector<float>{0, 0, 1}).low));  // one positive
  CHECK(delong_interval(scores, std::vector<float>{0, 0, 1}).auroc == 1);
  CHECK(std::isnan(delong_interval(scores, std::vector<float>{0, 0, 0}).auroc));
  CHECK(std::isnan(delong_interval(scores, std::vector<float>{1, 1, 1}).auroc));
}

TEST_CASE("the normal distribution agrees with scipy") {
  for (const auto& [confidence, z] : golden()["normal"].items())
    CHECK(two_sided_quantile(std::stod(confidence)) == doctest::Approx(z.get<double>()).epsilon(1e-10));
  for (const auto& [z, p] : golden()["tails"].items())
    CHECK(two_sided_tail(std::stod(z)) == doctest::Approx(p.get<double>()).epsilon(1e-10));
}

TEST_CASE("penalized logistic regression agrees with scikit-learn") {
  for (const Json& expected : golden()["cases"]) {
    const std::vector<double> a = expected["a"], b = expected["b"];
    const std::vector<float> targets = floats(expected["targets"]);
    std::vector<double> features;
    for (std::size_t i = 0; i < a.size(); ++i)
      features.insert(features.end(), {a[i], std::sqrt(b[i]), a[i] * b[i]});
    const LogisticRegression fit =
        fit_logistic_regression(features, targets, expected["logistic"]["penalty"]);
    for (std::size_t i = 0; i < a.size(); ++i)
      CHECK(fit.logit(std::span(features).subspan(3 * i, 3)) ==
            doctest::Approx(expected["logistic"]["logits"][i].get<double>()).epsilon(1e-6));
  }
}

TEST_CASE("logistic regression: separable and constant features, and what it refuses") {
  // Separable: without the penalty the coefficient would grow without end.
  const std::vector<double> x{-2, 7, -1, 7, 1, 7, 2, 7};
  const std::vector<float> y{0, 0, 1, 1};
  const LogisticRegression fit = fit_logistic_regression(x, y, 1e-6);
  CHECK(fit.coefficients[0] > 1);
  CHECK(std::isfinite(fit.coefficients[0]));
  CHECK(fit.coefficients[1] == 0);  // does not vary
  CHECK(fit.logit(std::vector<double>{1, 7}) > 0);
  CHECK(fit.logit(std::vector<double>{-1, 7}) < 0);
  CHECK_THROWS_WITH_AS(fit_logistic_regression(x, std::vector<float>{1, 1, 1, 1}, 1),
                       doctest::Contains("both classes"), Error);
  CHECK_THROWS_AS(fit_logistic_regression(x, y, 0), Error);
  CHECK_THROWS_AS(fit_logistic_regression(std::vector<double>{1, 2, INFINITY, 3}, y, 1), Error);
}
