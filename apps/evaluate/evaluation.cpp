#include "apps/evaluate/evaluation.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "apps/engine/slices.h"
#include "apps/evaluate/exams.h"
#include "apps/evaluate/study_ranges.h"
#include "nn/metrics.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

// Half a pixel of a picture of a thousand: what thinned curves may deviate.
constexpr double kCurveTolerance = 0.0005;

double sigmoid(double logit) { return 1 / (1 + std::exp(-logit)); }

// Patients of the slices and of the studies, numbered from 0.
struct Clusters {
  std::vector<std::uint32_t> of_slices, of_studies;
  std::size_t count = 0;
};

Clusters clusters_of(const data::SliceSet& slices) {
  const SliceOrigins origins = origins_of(slices);
  std::unordered_map<std::string, std::uint32_t> numbers;
  Clusters clusters;
  for (const StudyRange& range : study_ranges(slices)) {
    const std::string& name = origins.patient_of(slices.records[range.begin].study);
    const std::uint32_t number =
        numbers.emplace(name, static_cast<std::uint32_t>(numbers.size())).first->second;
    clusters.of_studies.push_back(number);
    clusters.of_slices.insert(clusters.of_slices.end(), range.end - range.begin, number);
  }
  clusters.count = numbers.size();
  return clusters;
}

// Both levels of one set of scores.
struct Samples {
  LevelSample slices, patients;
  Exams exams;
};

Samples samples_of(const Scores& scores, const Clusters& clusters, const DecisionOptions& options) {
  Exams exams = exams_of(scores);
  return {
      .slices = LevelSample(scores.by_slice, clusters.of_slices, clusters.count, options),
      .patients = LevelSample(scores.by_study, clusters.of_studies, clusters.count, options, exams.losses),
      .exams = std::move(exams)};
}

// The replicates of all samples, drawn together: sample i has slices, then patients.
struct Drawn {
  nn::Replicates replicates;
  std::vector<std::size_t> begin;  // of each level of each sample
};

Drawn draw(const std::vector<Samples>& samples, std::size_t patients, const nn::BootstrapOptions& options) {
  std::vector<const LevelSample*> levels;
  Drawn drawn;
  std::size_t size = 0;
  for (const Samples& sample : samples)
    for (const LevelSample* level : {&sample.slices, &sample.patients}) {
      levels.push_back(level);
      drawn.begin.push_back(size);
      size += level->metrics();
    }
  drawn.replicates = nn::cluster_bootstrap(
      patients, size,
      [&](std::span<const std::uint32_t> weights, std::span<double> values) {
        for (std::size_t i = 0; i < levels.size(); ++i)
          levels[i]->measure(weights, values.subspan(drawn.begin[i], levels[i]->metrics()));
      },
      options);
  return drawn;
}

Estimate estimate(double value, std::vector<double> replicates, double confidence) {
  nn::Interval interval = nn::percentile_interval(std::move(replicates), confidence);
  if (std::isnan(value)) interval.low = interval.high = value;
  return {value, interval};
}

std::vector<nn::CurvePoint> for_drawing(const std::vector<nn::CurvePoint>& curve) {
  std::vector<nn::CurvePoint> points = nn::thinned(curve, kCurveTolerance);
  for (nn::CurvePoint& point : points)
    if (std::isfinite(point.threshold)) point.threshold = sigmoid(point.threshold);
  return points;
}

Decision decision(const nn::OperatingPoint& point) {
  return {std::isfinite(point.threshold) ? sigmoid(point.threshold) : point.threshold, point.counts};
}

LevelEvaluation describe(const char* name, const LevelSample& sample, const Predictions& predictions,
                         const std::vector<std::string>& labels, const EvaluationOptions& options) {
  LevelEvaluation level{.level = name, .rows = predictions.rows(), .labels = {}, .metrics = {}};
  const double undefined = std::nan("");
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const nn::RankedMetrics ranked = sample.ranked(i);
    LabelEvaluation& label = level.labels.emplace_back();
    label.label = labels[i];
    label.positives = static_cast<int>(sample.ranking(i).positives());
    label.at_threshold = {options.decision.threshold, sample.confusion(i)};
    label.at_specificity = decision(ranked.at_specificity);
    label.at_sensitivity = decision(ranked.at_sensitivity);
    label.calibration = sample.calibration(i);
    label.roc = for_drawing(nn::roc_curve(sample.ranking(i)));
    label.precision_recall = for_drawing(nn::precision_recall_curve(sample.ranking(i)));
    label.delong = {undefined, undefined, undefined, undefined};
  }
  return level;
}

void fill_estimates(LevelEvaluation& level, const LevelSample& sample, const Drawn& drawn, std::size_t at,
                    double confidence) {
  const std::vector<double> values = sample.measure();
  const auto of = [&](std::size_t i) {
    return estimate(values[i], drawn.replicates.of(drawn.begin[at] + i), confidence);
  };
  for (std::size_t label = 0; label < level.labels.size(); ++label)
    for (std::size_t m = 0; m < kLabelMetricCount; ++m)
      level.labels[label].metrics.push_back(of(sample.index(label, static_cast<LabelMetric>(m))));
  for (std::size_t m = 0; m < kLevelMetricCount; ++m)
    level.metrics.push_back(of(sample.index(static_cast<LevelMetric>(m))));
}

std::vector<Difference> differences(const LevelSample& a, const LevelSample& b, const Drawn& drawn,
                                    std::size_t at_a, std::size_t at_b,
                                    const std::vector<std::string>& labels, double confidence) {
  const std::vector<double> of_a = a.measure(), of_b = b.measure();
  std::vector<Difference> result;
  const auto add = [&](const std::string& label, const char* metric, std::size_t i) {
    std::vector<double> replicates = drawn.replicates.of(drawn.begin[at_a] + i);
    const std::vector<double> other = drawn.replicates.of(drawn.begin[at_b] + i);
    for (std::size_t r = 0; r < replicates.size(); ++r) replicates[r] -= other[r];
    const double difference = of_a[i] - of_b[i];
    const double p = std::isnan(difference) ? difference : nn::bootstrap_p(replicates);
    result.push_back({.label = label,
                      .metric = metric,
                      .a = of_a[i],
                      .b = of_b[i],
                      .difference = estimate(difference, std::move(replicates), confidence),
                      .p = p});
  };
  for (std::size_t m = 0; m < kLevelMetricCount; ++m)
    add("", name_of(static_cast<LevelMetric>(m)), a.index(static_cast<LevelMetric>(m)));
  for (std::size_t label = 0; label < labels.size(); ++label)
    for (std::size_t m = 1; m < kLabelMetricCount; ++m)  // prevalence is of the patients, not of a model
      add(labels[label], name_of(static_cast<LabelMetric>(m)), a.index(label, static_cast<LabelMetric>(m)));
  return result;
}

}  // namespace

void require_same_slices(const data::SliceSet& evaluated, const data::SliceSet& other,
                         const std::string& name) {
  const auto same = [](const data::SliceRecord& x, const data::SliceRecord& y) { return x.file == y.file; };
  require(std::equal(evaluated.records.begin(), evaluated.records.end(), other.records.begin(),
                     other.records.end(), same),
          "--compare {}: its {} slices are not the {} that are evaluated; compare models of the same split",
          name, other.records.size(), evaluated.records.size());
}

Evaluation evaluate(const Scores& scores, const std::vector<Scores>& others,
                    const EvaluationOptions& options) {
  const Clusters clusters = clusters_of(scores.slices);
  std::vector<Samples> samples{samples_of(scores, clusters, options.decision)};
  for (const Scores& other : others) {
    require(other.labels == scores.labels, "--compare {}: its labels are {}, those of {} are {}", other.name,
            fmt::join(other.labels, " "), scores.name, fmt::join(scores.labels, " "));
    require_same_slices(scores.slices, other.slices, other.name);
    samples.push_back(samples_of(other, clusters, options.decision));
  }
  const Drawn drawn = draw(samples, clusters.count, options.bootstrap);
  const Samples& own = samples.front();
  Evaluation result{.options = options,
                    .name = scores.name,
                    .patients_drawn = clusters.count,
                    .slices = describe("slices", own.slices, scores.by_slice, scores.labels, options),
                    .patients = describe("patients", own.patients, scores.by_study, scores.labels, options),
                    .rsna_best_constant = own.exams.best_constant_loss,
                    .overall_was_derived = own.exams.overall_was_derived,
                    .comparisons = {}};
  fill_estimates(result.slices, own.slices, drawn, 0, options.confidence);
  fill_estimates(result.patients, own.patients, drawn, 1, options.confidence);
  const std::size_t count = scores.labels.size();
  for (std::size_t label = 0; label < count; ++label)
    result.patients.labels[label].delong =
        nn::delong_interval(nn::column(scores.by_study.logits, count, label),
                            nn::column(scores.by_study.targets, count, label), options.confidence);
  for (std::size_t i = 0; i < others.size(); ++i) {
    const Samples& other = samples[i + 1];
    Comparison comparison{.name = others[i].name,
                          .slices = differences(own.slices, other.slices, drawn, 0, 2 * i + 2, scores.labels,
                                                options.confidence),
                          .patients = differences(own.patients, other.patients, drawn, 1, 2 * i + 3,
                                                  scores.labels, options.confidence),
                          .delong = {}};
    for (std::size_t label = 0; label < count; ++label)
      comparison.delong.push_back(nn::delong_comparison(nn::column(scores.by_study.logits, count, label),
                                                        nn::column(others[i].by_study.logits, count, label),
                                                        nn::column(scores.by_study.targets, count, label),
                                                        options.confidence));
    result.comparisons.push_back(std::move(comparison));
  }
  return result;
}

}  // namespace sagitta::apps
