// From the slices of a study to the study: the fixed rules, the learned one, and its file.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/evaluate/aggregation.h"
#include "nn/metrics.h"
#include "score_fixture.h"
#include "temp_folder.h"
#include "tensor/error.h"

using namespace sagitta;
using namespace sagitta::apps;
using sagitta::testing::make_scores;
using sagitta::testing::TempFolder;

namespace {

float logit(double p) { return static_cast<float>(std::log(p / (1 - p))); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

double rule_of(AggregationRule rule, const std::vector<float>& logits) {
  return StudyAggregator(rule, {"C1"}).apply(logits).front();
}

}  // namespace

TEST_CASE("the fixed rules are what they are called") {
  const std::vector<float> logits{logit(0.9), logit(0.2), logit(0.4)};
  CHECK(sigmoid(rule_of(AggregationRule::mean, logits)) == doctest::Approx(0.5));
  CHECK(sigmoid(rule_of(AggregationRule::max, logits)) == doctest::Approx(0.9));
  CHECK(sigmoid(rule_of(AggregationRule::noisy_or, logits)) == doctest::Approx(1 - 0.1 * 0.8 * 0.6));
  for (const auto rule : {AggregationRule::mean, AggregationRule::max, AggregationRule::noisy_or}) {
    CHECK(parse_aggregation_rule(name_of(rule)) == rule);
    for (const float one : {-50.F, -3.F, 0.F, 3.F, 50.F})
      CHECK(rule_of(rule, {one}) == doctest::Approx(one).epsilon(1e-5));  // of one slice, the slice
  }
  CHECK_THROWS_WITH_AS(parse_aggregation_rule("median"), doctest::Contains("noisy-or"), Error);
}

TEST_CASE("rules stay finite and ordered where probabilities are 0 and 1") {
  CHECK(rule_of(AggregationRule::noisy_or, {-200, -200}) == doctest::Approx(-200 + std::log(2.0)));
  CHECK(rule_of(AggregationRule::noisy_or, {200, 200}) == doctest::Approx(400));
  CHECK(rule_of(AggregationRule::mean, {200, 200}) == doctest::Approx(200));
  CHECK(rule_of(AggregationRule::mean, {200, -200}) == doctest::Approx(0));
  CHECK(rule_of(AggregationRule::mean, {-200, -210}) == doctest::Approx(-200 - std::log(2.0)));
}

TEST_CASE("each label and study keeps its own") {
  const StudyAggregator max(AggregationRule::max, {"C1", "C2"});
  CHECK(max.apply(std::vector<float>{1, -1, -2, 3}) == std::vector<float>{1, 3});
  CHECK_THROWS_AS(max.apply(std::vector<float>{1, 2, 3}), Error);
  CHECK_THROWS_AS(max.apply({}), Error);
  CHECK_THROWS_AS(StudyAggregator(AggregationRule::learned, {"C1"}), Error);
  const Scores scores = make_scores(5, {"C1", "C2"}, 1);
  const Predictions studies = aggregate(scores.slices, scores.by_slice, max);
  REQUIRE(studies.rows() == 5);
  CHECK(studies.logits[2] == std::max(scores.by_slice.logits[2], scores.by_slice.logits[4]));  // study 1, C1
  CHECK(studies.targets == std::vector<float>{1, 1, 0, 0, 1, 0, 0, 1, 1, 0});
}

TEST_CASE("the learned rule finds which feature matters, and calibrates") {
  // The highest of ten slices decides; the others are noise of high variance.
  data::SliceSet slices;
  Predictions predictions{.labels = 1, .logits = {}, .targets = {}};
  const random::Key key{1, 1, 1};
  std::uint64_t index = 0;
  for (int study = 0; study < 400; ++study)
    for (int slice = 0; slice < 10; ++slice) {
      const bool positive = study % 2 == 0;
      slices.records.push_back({.file = "x", .study = std::to_string(study), .labeled = true});
      predictions.logits.push_back(
          static_cast<float>((positive && slice == 4 ? 3 : 0) + random::normal(key, index++)));
      predictions.targets.push_back(positive);
    }
  const StudyAggregator learned = StudyAggregator::fit(slices, predictions, {"C1"});
  const auto loss_and_area = [&](const StudyAggregator& aggregator) {
    const Predictions studies = aggregate(slices, predictions, aggregator);
    return std::pair(mean_bce(studies), nn::auroc(studies.logits, studies.targets));
  };
  const auto [learned_loss, learned_area] = loss_and_area(learned);
  const auto [mean_loss, mean_area] = loss_and_area({AggregationRule::mean, {"C1"}});
  const auto [max_loss, max_area] = loss_and_area({AggregationRule::max, {"C1"}});
  CHECK(learned_area > mean_area);
  CHECK(learned_area > max_area - 0.005);
  CHECK(learned_loss < 0.7 * mean_loss);
  CHECK(learned_loss < 0.5 * max_loss);  // the maximum ranks as well, but its probabilities are far too high
  CHECK(learned.fitted_studies().size() == 400);
}

TEST_CASE("a label without both classes keeps the mean") {
  Scores scores = make_scores(12, {"C1", "C2"}, 1);
  for (std::size_t i = 1; i < scores.by_slice.targets.size(); i += 2) scores.by_slice.targets[i] = 0;
  const StudyAggregator learned = StudyAggregator::fit(scores.slices, scores.by_slice, {"C1", "C2"});
  CHECK(learned.unfitted_labels() == std::vector<std::string>{"C2"});
  const std::vector<float> two{logit(0.2), logit(0.2), logit(0.6), logit(0.6)};
  CHECK(sigmoid(learned.apply(two)[1]) == doctest::Approx(0.4));
  CHECK(sigmoid(learned.apply(two)[0]) != doctest::Approx(0.4));
}

TEST_CASE("a fitted rule comes back from its file as it was") {
  const TempFolder folder;
  const Scores scores = make_scores(30, {"C1", "C2"}, 1);
  const StudyAggregator fitted = StudyAggregator::fit(scores.slices, scores.by_slice, {"C1", "C2"}, 0.5);
  fitted.save(folder / "a.json");
  const StudyAggregator loaded = StudyAggregator::load(folder / "a.json");
  const std::vector<float> logits{0.25F, -1, 3, 2, -0.5F, 0.1F, 1, 1};
  CHECK(loaded.apply(logits) == fitted.apply(logits));
  CHECK(loaded.fitted_studies() == fitted.fitted_studies());
  CHECK(loaded.labels() == fitted.labels());
  CHECK(loaded.json() == fitted.json());
  for (const auto rule : {AggregationRule::max, AggregationRule::noisy_or}) {
    const StudyAggregator fixed(rule, {"C1", "C2"});
    fixed.save(folder / "b.json");
    CHECK(StudyAggregator::load(folder / "b.json").apply(logits) == fixed.apply(logits));
  }
}

TEST_CASE("a file that is no aggregator is refused with its name") {
  const TempFolder folder;
  const Scores scores = make_scores(30, {"C1"}, 1);
  nlohmann::ordered_json good = StudyAggregator::fit(scores.slices, scores.by_slice, {"C1"}).json();
  const auto refuse = [&](const std::string& text, const char* words) {
    testing::write_bytes(folder / "bad.json", text);
    CHECK_THROWS_WITH_AS(StudyAggregator::load(folder / "bad.json"), doctest::Contains("bad.json"), Error);
    CHECK_THROWS_WITH_AS(StudyAggregator::load(folder / "bad.json"), doctest::Contains(words), Error);
  };
  refuse("{", "damaged");
  refuse("[]", "not a study aggregator");
  refuse("{}", "not a study aggregator");
  const auto changed = [&](auto&& change) {
    nlohmann::ordered_json json = good;
    change(json);
    return json.dump();
  };
  refuse(changed([](auto& json) { json["version"] = 2; }), "version 1");
  refuse(changed([](auto& json) { json["rule"] = "median"; }), "median");
  refuse(changed([](auto& json) { json["labels"].clear(); }), "no labels");
  refuse(changed([](auto& json) { json["labels"][0].erase("max_logit"); }), "max_logit");
  refuse(changed([](auto& json) { json["labels"][0]["intercept"] = "x"; }), "damaged");
  refuse(changed([](auto& json) { json.erase("fitted_studies"); }), "fitted_studies");
  CHECK_THROWS_AS(StudyAggregator::load(folder / "nowhere.json"), Error);
}
