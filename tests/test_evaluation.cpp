// The figures of an evaluation: counts, intervals by patient, comparisons, tables.
#include "apps/evaluate/evaluation.h"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/engine/slices.h"
#include "apps/evaluate/parts.h"
#include "apps/evaluate/score_files.h"
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

EvaluationOptions options_with(std::size_t replicates, int threads = 1) {
  return {.decision = {}, .bootstrap = {.replicates = replicates, .seed = 2, .threads = threads}};
}

// Two studies of two slices; the first is fractured at C2.
Scores small_scores() {
  Scores scores{.name = "small", .slices = {}, .labels = {"C2"}, .by_slice = {}, .by_study = {}, .parts = {}};
  for (int i = 0; i < 4; ++i) {
    data::SliceRecord record{.file = std::to_string(i), .study = i < 2 ? "a" : "b", .labeled = true};
    if (i < 2) record.labels = {1, 0, 1, 0, 0, 0, 0, 0};
    scores.slices.records.push_back(record);
  }
  scores.by_slice = {
      .labels = 1, .logits = {logit(0.9), logit(0.2), logit(0.3), logit(0.1)}, .targets = {1, 1, 0, 0}};
  scores.by_study = aggregate(scores.slices, scores.by_slice, {AggregationRule::mean, {"C2"}});
  return scores;
}

std::vector<double> measured(const LevelSample& sample, const std::vector<std::uint32_t>& weights) {
  std::vector<double> values(sample.metrics());
  sample.measure(weights, values);
  return values;
}

}  // namespace

TEST_CASE("evaluation counts slices and patients") {
  const Evaluation e = evaluate(small_scores(), {}, options_with(0));
  CHECK(e.slices[LevelMetric::macro_auroc].value == doctest::Approx(0.75));
  CHECK(e.slices.labels[0][LabelMetric::recall].value == doctest::Approx(0.5));
  CHECK(e.slices[LevelMetric::exact_match].value == doctest::Approx(0.75));
  CHECK(e.slices[LevelMetric::loss].value == doctest::Approx(mean_bce(small_scores().by_slice)));
  CHECK(e.slices.labels[0].at_threshold.counts.false_negatives == 1);
  CHECK(e.slices.labels[0][LabelMetric::brier].value ==
        doctest::Approx((0.01 + 0.64 + 0.09 + 0.01) / 4).epsilon(1e-5));
  CHECK(e.patients.rows == 2);
  CHECK(e.patients[LevelMetric::macro_auroc].value == 1);
  CHECK(e.overall_was_derived);
  // C2 at the mean probabilities 0.55 and 0.2; patient_overall is derived and so the same; C1 and C3..C7 are
  // at their best constant, 0, without loss.
  const double fractured = -(14 + 2) * std::log(0.55) / (14 + 2 + 6), intact = -(7 + 1) * std::log(0.8) / 14;
  CHECK(e.patients[LevelMetric::rsna_log_loss].value ==
        doctest::Approx((fractured + intact) / 2).epsilon(1e-5));
  CHECK(std::isnan(e.patients[LevelMetric::macro_auroc].interval.low));  // no replicates
  CHECK(format_evaluation(e).find("C2") != std::string::npos);
  const auto json = evaluation_json(e);
  CHECK(json["patients"]["labels"][0]["label"] == "C2");
  CHECK(json["loss"] == json["slices"]["loss"]);
  CHECK(json["patients"]["intervals"]["macro_auroc"].is_null());
  CHECK(json["slices"]["labels"][0]["confusion"]["true_positives"] == 1);
  CHECK(json["slices"]["labels"][0]["roc"]["threshold"][0].is_null());  // +infinity
}

TEST_CASE("every figure is the one of its definition, for several labels and another threshold") {
  const Scores scores = make_scores(40, {"C1", "C2", "C3"}, 9);
  EvaluationOptions options = options_with(0);
  options.decision.threshold = 0.3;
  const Evaluation e = evaluate(scores, {}, options);
  CHECK(e.slices[LevelMetric::loss].value == doctest::Approx(mean_bce(scores.by_slice)));
  CHECK(e.patients[LevelMetric::loss].value == doctest::Approx(mean_bce(scores.by_study)));
  const std::vector<float> all = scores.by_slice.probabilities();
  CHECK(e.slices[LevelMetric::exact_match].value == nn::exact_match(all, scores.by_slice.targets, 3, 0.3));
  double areas = 0;
  for (std::size_t label = 0; label < 3; ++label) {
    const std::vector<float> p = nn::column(all, 3, label), y = nn::column(scores.by_slice.targets, 3, label);
    const nn::Confusion counts = nn::at_threshold(p, y, 0.3);
    const LabelEvaluation& mine = e.slices.labels[label];
    CHECK(mine[LabelMetric::auroc].value == doctest::Approx(nn::auroc(p, y)));
    CHECK(mine[LabelMetric::average_precision].value == doctest::Approx(nn::average_precision(p, y)));
    CHECK(mine[LabelMetric::precision].value == counts.ppv());
    CHECK(mine[LabelMetric::recall].value == counts.sensitivity());
    CHECK(mine[LabelMetric::specificity].value == counts.specificity());
    CHECK(mine[LabelMetric::npv].value == counts.npv());
    CHECK(mine[LabelMetric::f1].value == counts.f1());
    CHECK(mine[LabelMetric::brier].value == doctest::Approx(nn::brier_score(p, y)));
    CHECK(mine[LabelMetric::ece].value ==
          doctest::Approx(nn::expected_calibration_error(nn::calibration_bins(p, y, kCalibrationBins))));
    // The threshold of an operating point, applied, gives its counts.
    const nn::Confusion again = nn::at_threshold(p, y, mine.at_specificity.threshold - 1e-6);
    CHECK(again.true_positives == mine.at_specificity.counts.true_positives);
    CHECK(mine[LabelMetric::sensitivity_at_specificity].value == again.sensitivity());
    CHECK(mine[LabelMetric::specificity_at_specificity].value >= 0.9);
    CHECK(mine[LabelMetric::sensitivity_at_sensitivity].value >= 0.9);
    areas += nn::auroc(p, y) / 3;
  }
  CHECK(e.slices[LevelMetric::macro_auroc].value == doctest::Approx(areas));
}

TEST_CASE("a study weighted twice counts as two studies") {
  const Scores scores = make_scores(20, {"C1", "C2", "C3"}, 4);
  std::vector<std::uint32_t> clusters, weights;
  for (std::uint32_t study = 0; study < 20; ++study) {
    clusters.insert(clusters.end(), study % 4 + 1, study);
    weights.push_back((study * 7 + 1) % 3);
  }
  Predictions repeated{.labels = 3, .logits = {}, .targets = {}};
  std::vector<double> losses, repeated_losses;
  for (std::size_t row = 0; row < clusters.size(); ++row) {
    losses.push_back(0.1 * static_cast<double>(row));
    for (std::uint32_t k = 0; k < weights[clusters[row]]; ++k) {
      repeated_losses.push_back(losses.back());
      for (std::size_t i = 3 * row; i < 3 * row + 3; ++i) {
        repeated.logits.push_back(scores.by_slice.logits[i]);
        repeated.targets.push_back(scores.by_slice.targets[i]);
      }
    }
  }
  const DecisionOptions options{.threshold = 0.4, .goals = {.specificity = 0.8, .sensitivity = 0.7}};
  const LevelSample sample(scores.by_slice, clusters, 20, options, losses);
  const LevelSample physical(repeated, std::vector<std::uint32_t>(repeated.rows(), 0), 1, options,
                             repeated_losses);
  const std::vector<double> a = measured(sample, weights), b = physical.measure();
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    CAPTURE(i);
    CHECK(!std::isnan(b[i]));
    CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-10));
  }
}

TEST_CASE("a replicate without positives of a label leaves that label and the means undefined") {
  const LevelSample sample(small_scores().by_study, std::vector<std::uint32_t>{0, 1}, 2, {});
  const std::vector<double> both = sample.measure(), lacking = measured(sample, {0, 2});
  CHECK(both[sample.index(LevelMetric::macro_auroc)] == 1);
  CHECK(std::isnan(lacking[sample.index(0, LabelMetric::auroc)]));
  CHECK(std::isnan(lacking[sample.index(LevelMetric::macro_auroc)]));
  CHECK(lacking[sample.index(0, LabelMetric::prevalence)] == 0);
  CHECK(lacking[sample.index(LevelMetric::exact_match)] == 1);
  // Study 0 alone is positive for the first label; without it the mean must not become that of the second.
  const Predictions three{
      .labels = 3, .logits = {1, 2, 3, -1, 1, 0, 0, -1, 1}, .targets = {1, 1, 0, 0, 0, 0, 0, 1, 0}};
  const LevelSample lacks_one(three, std::vector<std::uint32_t>{0, 1, 2}, 3, {});
  const std::vector<double> whole = lacks_one.measure(), part = measured(lacks_one, {0, 2, 1});
  CHECK(std::isnan(whole[lacks_one.index(2, LabelMetric::auroc)]));  // no positive at all: not in the mean
  CHECK(whole[lacks_one.index(LevelMetric::macro_auroc)] == doctest::Approx((1 + 0.5) / 2));
  CHECK(part[lacks_one.index(1, LabelMetric::auroc)] == 0);
  CHECK(std::isnan(part[lacks_one.index(LevelMetric::macro_auroc)]));
  const Evaluation e = evaluate(small_scores(), {}, options_with(400));
  // Each of the two patients is missing in a quarter of the replicates.
  CHECK(e.patients.labels[0][LabelMetric::auroc].interval.undefined > 150);
  CHECK(e.patients.labels[0][LabelMetric::auroc].interval.undefined < 250);
  CHECK(evaluation_json(e)["patients"]["labels"][0]["undefined_replicates"]["auroc"] ==
        e.patients.labels[0][LabelMetric::auroc].interval.undefined);
}

TEST_CASE("intervals hold their figures and do not depend on threads") {
  const Scores scores = make_scores(60, {"patient_overall", "C1", "C2"}, 3);
  const Evaluation one = evaluate(scores, {}, options_with(300, 1));
  CHECK(evaluation_json(one) == evaluation_json(evaluate(scores, {}, options_with(300, 3))));
  for (const LevelEvaluation* level : {&one.slices, &one.patients})
    for (const LabelEvaluation& label : level->labels)
      for (std::size_t m = 0; m < kLabelMetricCount; ++m) {
        // The calibration error of a resampled set is larger than that of the set: it is a sum of sizes.
        if (m == static_cast<std::size_t>(LabelMetric::ece)) continue;
        CAPTURE(name_of(static_cast<LabelMetric>(m)));
        CHECK(label.metrics[m].interval.low <= label.metrics[m].value);
        CHECK(label.metrics[m].interval.high >= label.metrics[m].value);
      }
  const Estimate& area = one.patients.labels[1][LabelMetric::auroc];
  CHECK(area.interval.low < area.interval.high);
  CHECK_FALSE(one.overall_was_derived);
  CHECK(one.patients.labels[1].delong.low < area.value);
}

TEST_CASE("studies of one patient are drawn together") {
  const TempFolder folder;
  Scores scores = make_scores(40, {"C1"}, 5);
  CHECK(evaluate(scores, {}, options_with(0)).patients_drawn == 40);
  scores.slices.root = folder.path();
  nlohmann::json studies;
  for (int i = 0; i < 40; ++i)
    studies["studies"].push_back(
        {{"study", "study " + std::to_string(i)}, {"patient", "p" + std::to_string(i / 2)}});
  testing::write_bytes(folder / "studies.json", studies.dump());
  CHECK(evaluate(scores, {}, options_with(0)).patients_drawn == 20);
}

TEST_CASE("a model compared with itself differs by nothing, and with a worse one by much") {
  const Scores good = make_scores(80, {"C1", "C2"}, 6, 2.5), bad = make_scores(80, {"C1", "C2"}, 7, 0.0);
  const Evaluation e = evaluate(good, {good, bad}, options_with(400));
  REQUIRE(e.comparisons.size() == 2);
  for (const std::vector<Difference>* level : {&e.comparisons[0].slices, &e.comparisons[0].patients})
    for (const Difference& d : *level) {
      CHECK((std::isnan(d.a) || d.difference.value == 0));
      CHECK((std::isnan(d.a) || d.p == 1));
    }
  CHECK(std::isnan(e.comparisons[0].delong[0].p));
  const auto find = [](const std::vector<Difference>& differences, const std::string& label,
                       const char* metric) {
    for (const Difference& d : differences)
      if (d.label == label && d.metric == metric) return d;
    throw Error("no such difference");
  };
  const Difference area = find(e.comparisons[1].patients, "C1", "auroc");
  CHECK(area.a == e.patients.labels[0][LabelMetric::auroc].value);
  CHECK(area.difference.interval.low > 0);
  CHECK(area.p == doctest::Approx(2.0 / 401));
  CHECK(e.comparisons[1].delong[0].p < 0.01);
  CHECK(e.comparisons[1].delong[0].difference == doctest::Approx(area.difference.value));
  CHECK(find(e.comparisons[1].slices, "", "loss").difference.interval.high < 0);
  // Paired: the interval is that of the difference, narrower than two intervals apart would allow.
  const Scores fair = make_scores(80, {"C1", "C2"}, 6, 1.0);
  Scores shifted = fair;
  for (float& x : shifted.by_study.logits) x += 0.25F * std::sin(37 * x);
  const Evaluation paired = evaluate(fair, {shifted}, options_with(400));
  const Difference close = find(paired.comparisons[0].patients, "C1", "auroc");
  const nn::Interval own = paired.patients.labels[0][LabelMetric::auroc].interval;
  CHECK(close.difference.interval.high - close.difference.interval.low < 0.8 * (own.high - own.low));
  const auto json = evaluation_json(e)["comparisons"][1];
  CHECK(json["with"] == "model 7");
  CHECK(json["delong"][0]["label"] == "C1");
  CHECK(format_evaluation(e).find("DeLong") != std::string::npos);
  CHECK_THROWS_WITH_AS(evaluate(good, {make_scores(80, {"C1", "C3"}, 1)}, options_with(0)),
                       doctest::Contains("labels"), Error);
  CHECK_THROWS_WITH_AS(evaluate(good, {make_scores(79, {"C1", "C2"}, 1)}, options_with(0)),
                       doctest::Contains("slices"), Error);
}

TEST_CASE("tables of scores come back as they were written") {
  const TempFolder folder;
  Scores scores = make_scores(9, {"patient_overall", "C7"}, 8);
  scores.by_slice.logits[0] = 30;
  scores.by_slice.logits[1] = -60;
  write_scores(folder.path(), scores);
  const Scores read = read_scores(folder.path(), scores.slices);
  CHECK(read.labels == scores.labels);
  CHECK(read.by_study.targets == scores.by_study.targets);
  for (std::size_t i = 0; i < scores.by_slice.logits.size(); ++i)
    CHECK(read.by_slice.logits[i] == doctest::Approx(scores.by_slice.logits[i]).epsilon(1e-3));
  for (std::size_t i = 0; i < scores.by_study.logits.size(); ++i)
    CHECK(read.by_study.logits[i] == doctest::Approx(scores.by_study.logits[i]).epsilon(1e-6));
  const std::string text = testing::read_bytes(folder / "predictions.csv");
  const auto refuse = [&](const std::string& from, const std::string& to, const char* words) {
    std::string bad = text;
    const std::size_t at = bad.find(from);
    REQUIRE(at != std::string::npos);
    testing::write_bytes(folder / "predictions.csv", bad.replace(at, from.size(), to));
    CHECK_THROWS_WITH_AS(read_scores(folder.path(), scores.slices), doctest::Contains("predictions.csv"),
                         Error);
    CHECK_THROWS_WITH_AS(read_scores(folder.path(), scores.slices), doctest::Contains(words), Error);
  };
  refuse("study 3,3/1.png", "study 3,3/9.png", "no row for slice 3/1.png");
  refuse("study 3,3/1.png", "study 3,3/0.png", "twice");
  refuse("C7_probability", "C9_probability", "C9");
  refuse(",-1.5,1,", ",-1.5,0,", "as in the data");
  refuse("patient_overall_truth", "truth", "patient_overall_truth");
  Scores fewer = make_scores(8, {"patient_overall", "C7"}, 8);
  testing::write_bytes(folder / "predictions.csv", text);
  CHECK_THROWS_WITH_AS(read_scores(folder.path(), fewer.slices), doctest::Contains("rows"), Error);
}

TEST_CASE("scores of more labels are compared by those that both have") {
  const Scores all = make_scores(6, {"patient_overall", "C1", "C2", "C5"}, 1);
  const Scores some = with_labels(all, {"C5", "C1"});
  CHECK(some.labels == std::vector<std::string>{"C5", "C1"});
  REQUIRE(some.by_study.rows() == all.by_study.rows());
  REQUIRE(some.by_slice.rows() == all.by_slice.rows());
  for (std::size_t row = 0; row < all.by_study.rows(); ++row) {
    CHECK(some.by_study.logits[row * 2] == all.by_study.logits[row * 4 + 3]);
    CHECK(some.by_study.targets[row * 2 + 1] == all.by_study.targets[row * 4 + 1]);
  }
  CHECK(some.by_slice.logits[1] == all.by_slice.logits[1]);
  CHECK(with_labels(all, {"C5", "C7"}).labels == all.labels);  // C7 is not there: nothing is changed
}

TEST_CASE("each study goes to the models that have not seen it") {
  const TempFolder folder;
  const data::SliceSet slices = make_scores(6, {"C1"}, 1).slices;
  const auto model = [&](const std::string& name, const StudySplit& split) {
    std::filesystem::create_directories(folder / name);
    write_split(folder / name / "split.json", split);
    return (folder / name).string();
  };
  const auto study = [](int i) { return "study " + std::to_string(i); };
  const std::string a = model("a", {{study(3), study(4)}, {study(5)}, {study(0), study(1), study(2)}});
  const std::string b = model("b", {{study(0), study(1)}, {study(2)}, {study(3), study(4), study(5)}});
  const std::string c = model("c", {{study(3)}, {study(5)}, {study(0), study(1), study(2), study(4)}});
  const auto parts = evaluation_parts(slices, {a, b}, kOutOfFold);
  REQUIRE(parts.size() == 2);
  CHECK(parts[0].models == std::vector{a});
  CHECK(parts[0].studies == std::vector{study(0), study(1), study(2)});
  CHECK(parts[0].fitting == std::vector{study(5)});
  CHECK(parts[1].studies == std::vector{study(3), study(4), study(5)});
  CHECK(evaluated_slices(slices, parts).records.size() == slices.records.size());
  // Where several models hold a study out, they predict it together.
  const auto mixed = evaluation_parts(slices, {a, b, c}, kOutOfFold);
  std::size_t together = 0;
  for (const EvaluationPart& part : mixed) {
    if (part.models == std::vector{a, c}) CHECK(part.studies == std::vector{study(0), study(1), study(2)});
    if (part.models == std::vector{b, c}) CHECK(part.studies == std::vector{study(4)});
    together += part.models.size() == 2;
  }
  CHECK(together == 2);
  CHECK_THROWS_WITH_AS(evaluation_parts(slices, {a, c}, kOutOfFold), doctest::Contains("2 of 6 studies"),
                       Error);
  CHECK_THROWS_WITH_AS(evaluation_parts(slices, {a, b}, "test"), doctest::Contains("out-of-fold"), Error);
  CHECK(evaluation_parts(slices, {a, a}, "test").front().studies.size() == 3);
  CHECK(evaluation_parts(slices, {a, b}, "all").front().studies.size() == 6);
  CHECK(evaluation_parts(slices, {a, b}, "all").front().fitting.empty());
  std::filesystem::remove(folder / "b/split.json");
  CHECK_THROWS_WITH_AS(evaluation_parts(slices, {a, b}, kOutOfFold), doctest::Contains("b/split.json"),
                       Error);
}
