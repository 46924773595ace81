// The cluster bootstrap: what it draws, its percentiles, and whether its intervals hold what they promise.
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "nn/bootstrap.h"
#include "nn/cluster_totals.h"
#include "nn/delong.h"
#include "nn/ranking.h"
#include "tensor/error.h"
#include "tensor/random.h"

using namespace sagitta;
using namespace sagitta::nn;

namespace {

// Slices of patients: score = shift * target + patient's own + slice's own, so slices of a patient are alike.
struct Study {
  std::vector<float> scores, targets;
  std::vector<std::uint32_t> patients;
};

Study simulate(std::uint32_t trial, int patients, int slices, double shift) {
  const random::Key key{17, 1, trial};
  std::uint64_t index = 0;
  Study study;
  for (int patient = 0; patient < patients; ++patient) {
    const bool fractured = patient % 3 == 0;
    const double own = random::normal(key, index++);
    for (int slice = 0; slice < slices; ++slice) {
      study.scores.push_back(
          static_cast<float>((fractured ? shift : 0) + own + 0.5 * random::normal(key, index++)));
      study.targets.push_back(fractured);
      study.patients.push_back(static_cast<std::uint32_t>(patient));
    }
  }
  return study;
}

Interval auroc_interval(const Study& study, std::span<const std::uint32_t> clusters, std::size_t count) {
  const Ranking ranking(study.scores, study.targets, clusters);
  const Replicates replicates =
      cluster_bootstrap(count, 1,
                        [&](std::span<const std::uint32_t> weights, std::span<double> out) {
                          out[0] = ranking.measure(weights, {}).auroc;
                        },
                        {.replicates = 400, .seed = 5});
  return percentile_interval(replicates.of(0));
}

// Standard deviations of a count of successes from what its probability promises.
double deviation(int successes, int trials, double probability) {
  return (successes - trials * probability) / std::sqrt(trials * probability * (1 - probability));
}

}  // namespace

TEST_CASE("a replicate draws as many clusters as there are, each as likely") {
  std::vector<double> drawn(50, 0.0);
  for (std::size_t replicate = 0; replicate < 2000; ++replicate) {
    const std::vector<std::uint32_t> weights = bootstrap_weights(50, 9, replicate);
    CHECK(std::accumulate(weights.begin(), weights.end(), 0U) == 50);
    for (std::size_t c = 0; c < 50; ++c) drawn[c] += weights[c];
  }
  // Binomial with 100,000 draws and probability 1 / 50: 2000 with a standard deviation of 44.
  double chi_square = 0;
  for (double count : drawn) chi_square += (count - 2000) * (count - 2000) / 2000;
  CHECK(chi_square > 49 - 4 * 10);
  CHECK(chi_square < 49 + 4 * 10);
  CHECK(bootstrap_weights(50, 9, 1) != bootstrap_weights(50, 9, 2));
  CHECK(bootstrap_weights(50, 9, 1) != bootstrap_weights(50, 10, 1));
}

TEST_CASE("replicates are the same on any number of threads") {
  const auto measure = [](std::span<const std::uint32_t> weights, std::span<double> out) {
    out[0] = weights[0];
    out[1] = weights[0] == 0 ? NAN : weights[1];
  };
  const Replicates one = cluster_bootstrap(7, 2, measure, {.replicates = 500, .seed = 3, .threads = 1});
  const Replicates four = cluster_bootstrap(7, 2, measure, {.replicates = 500, .seed = 3, .threads = 4});
  CHECK(one.of(0) == four.of(0));
  const Interval interval = percentile_interval(one.of(1));
  // A cluster is left out of a replicate with probability (6 / 7)^7 = 0.34.
  CHECK(interval.undefined == percentile_interval(four.of(1)).undefined);
  CHECK(std::abs(deviation(static_cast<int>(interval.undefined), 500, std::pow(6.0 / 7, 7))) < 4);
  CHECK_THROWS_WITH_AS(
      cluster_bootstrap(7, 1, [](auto, auto) { fail("measure: no"); }, {.replicates = 9, .threads = 3}),
      "measure: no", Error);
  CHECK_THROWS_AS(cluster_bootstrap(0, 1, [](auto, auto) {}, {}), Error);
}

TEST_CASE("percentiles agree with numpy, and leave out what is undefined") {
  const auto golden = nlohmann::json::parse(std::ifstream(
      SAGITTA_SOURCE_DIR + std::string("/tests/golden/statistics/statistics.json")))["percentiles"];
  std::vector<double> values = golden["values"];
  values.push_back(NAN);
  const Interval interval = percentile_interval(values);
  CHECK(interval.low == doctest::Approx(golden["low"].get<double>()).epsilon(1e-12));
  CHECK(interval.high == doctest::Approx(golden["high"].get<double>()).epsilon(1e-12));
  CHECK(interval.undefined == 1);
  CHECK(std::isnan(percentile_interval(std::vector<double>(39, 1.0)).low));
  CHECK(percentile_interval(std::vector<double>(40, 1.0)).low == 1);
}

TEST_CASE("the p-value counts replicates beyond 0") {
  std::vector<double> differences(99, 1.0);
  CHECK(bootstrap_p(differences) == doctest::Approx(0.02));
  differences[0] = -1;
  CHECK(bootstrap_p(differences) == doctest::Approx(0.04));
  differences[1] = NAN;
  CHECK(bootstrap_p(differences) == doctest::Approx(4.0 / 99));
  CHECK(bootstrap_p(std::vector<double>(50, 0.0)) == 1);
  CHECK(std::isnan(bootstrap_p({})));
}

TEST_CASE("totals of clusters are sums over weighted rows") {
  ClusterTotals totals(3, 2);
  totals.at(0, 0) = 1, totals.at(1, 0) = 10, totals.at(2, 1) = 5;
  CHECK(totals.weighted(std::vector<std::uint32_t>{2, 1, 3}) == std::vector<double>{12, 15});
}

TEST_CASE("intervals by patient hold the truth as often as they say; intervals by slice do not") {
  constexpr int kTrials = 400, kPatients = 150, kSlices = 5;
  constexpr double kShift = 1.0;
  // Slices of different patients differ by a normal variable of variance 2 (1 + 0.25).
  const double truth = 0.5 * std::erfc(-kShift / std::sqrt(2.5) / std::sqrt(2.0));
  int by_patient = 0, by_slice = 0;
  for (std::uint32_t trial = 0; trial < kTrials; ++trial) {
    const Study study = simulate(trial, kPatients, kSlices, kShift);
    const Interval honest = auroc_interval(study, study.patients, kPatients);
    by_patient += honest.low <= truth && truth <= honest.high;
    std::vector<std::uint32_t> rows(study.scores.size());
    std::iota(rows.begin(), rows.end(), 0U);
    const Interval naive = auroc_interval(study, rows, rows.size());
    by_slice += naive.low <= truth && truth <= naive.high;
  }
  CAPTURE(by_patient);
  CAPTURE(by_slice);
  // 0.95 less what percentiles of 50 positive patients lose (about 0.01), within three standard deviations.
  CHECK(deviation(by_patient, kTrials, 0.94) > -3);
  CHECK(deviation(by_patient, kTrials, 0.94) < 3);
  CHECK(by_slice < 0.75 * kTrials);
}

TEST_CASE("DeLong's intervals and test hold what they promise on independent rows") {
  constexpr int kTrials = 1000, kPatients = 150;
  const double truth = 0.5 * std::erfc(-1 / std::sqrt(2.5) / std::sqrt(2.0));
  int covered = 0, rejected = 0;
  for (std::uint32_t trial = 0; trial < kTrials; ++trial) {
    const Study study = simulate(trial, kPatients, 1, 1.0),
                other = simulate(trial + kTrials, kPatients, 1, 1.0);
    const DelongInterval interval = delong_interval(study.scores, study.targets);
    covered += interval.low <= truth && truth <= interval.high;
    rejected += delong_comparison(study.scores, other.scores, study.targets).p < 0.05;
  }
  CAPTURE(covered);
  CAPTURE(rejected);
  CHECK(std::abs(deviation(covered, kTrials, 0.945)) < 3);
  CHECK(std::abs(deviation(rejected, kTrials, 0.05)) < 3);
}
