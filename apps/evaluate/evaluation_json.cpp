// evaluation.json: everything that a report draws. docs/evaluation.md lists the keys.
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "apps/engine/json_number.h"
#include "apps/evaluate/evaluation.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;

Json pair(double low, double high) {
  return std::isfinite(low) && std::isfinite(high) ? Json::array({low, high}) : Json();
}

// Six significant digits: more than a picture shows, and a third of the bytes.
Json coordinate(double value) {
  return std::isfinite(value) ? Json(std::strtod(fmt::format("{:.6g}", value).c_str(), nullptr)) : Json();
}

// Values under their names; the intervals, and replicates left out where there are any, in objects beside
// them.
class Figures {
 public:
  void add(const char* name, const Estimate& estimate) {
    values_[name] = number(estimate.value);
    intervals_[name] = pair(estimate.interval.low, estimate.interval.high);
    if (estimate.interval.undefined > 0) undefined_[name] = estimate.interval.undefined;
  }
  void put_into(Json& json) const {
    for (const auto& [name, value] : values_.items()) json[name] = value;
    json["intervals"] = intervals_;
    if (!undefined_.empty()) json["undefined_replicates"] = undefined_;
  }

 private:
  Json values_ = Json::object(), intervals_ = Json::object(), undefined_ = Json::object();
};

std::int64_t whole(double count) { return std::llround(count); }

Json counts_json(const nn::Confusion& counts) {
  return {{"true_positives", whole(counts.true_positives)},
          {"false_positives", whole(counts.false_positives)},
          {"true_negatives", whole(counts.true_negatives)},
          {"false_negatives", whole(counts.false_negatives)}};
}

// The intervals of an operating point: four metrics in the order of LabelMetric.
Json operating_point(const char* goal, double at_least, const Decision& point, const LabelEvaluation& label,
                     LabelMetric first) {
  Json json{{"goal", goal},
            {"at_least", at_least},
            {"threshold", number(point.threshold)},
            {"confusion", std::isnan(point.threshold) ? Json() : counts_json(point.counts)}};
  Figures figures;
  const auto begin = static_cast<std::size_t>(first);
  const char* names[] = {"sensitivity", "specificity", "ppv", "npv"};
  for (std::size_t i = 0; i < 4; ++i) figures.add(names[i], label.metrics[begin + i]);
  figures.put_into(json);
  return json;
}

Json calibration_json(const std::vector<nn::CalibrationBin>& bins) {
  Json json = Json::array();
  for (std::size_t b = 0; b < bins.size(); ++b)
    json.push_back({{"low", static_cast<double>(b) / static_cast<double>(bins.size())},
                    {"high", static_cast<double>(b + 1) / static_cast<double>(bins.size())},
                    {"rows", whole(bins[b].rows)},
                    {"mean_predicted", number(bins[b].mean_predicted())},
                    {"observed", number(bins[b].observed())}});
  return json;
}

Json curve_json(const std::vector<nn::CurvePoint>& curve, const char* x, const char* y) {
  Json xs = Json::array(), ys = Json::array(), thresholds = Json::array();
  for (const nn::CurvePoint& point : curve) {
    xs.push_back(coordinate(point.x));
    ys.push_back(coordinate(point.y));
    thresholds.push_back(coordinate(point.threshold));
  }
  return {{x, xs}, {y, ys}, {"threshold", thresholds}};
}

Json label_json(const LabelEvaluation& label, const EvaluationOptions& options, bool has_delong) {
  Json json{{"label", label.label}, {"positives", label.positives}};
  Figures figures;
  for (std::size_t m = 0; m < static_cast<std::size_t>(LabelMetric::sensitivity_at_specificity); ++m)
    figures.add(name_of(static_cast<LabelMetric>(m)), label.metrics[m]);
  figures.put_into(json);
  json["confusion"] = counts_json(label.at_threshold.counts);
  json["operating_points"] = {
      operating_point("specificity", options.decision.goals.specificity, label.at_specificity, label,
                      LabelMetric::sensitivity_at_specificity),
      operating_point("sensitivity", options.decision.goals.sensitivity, label.at_sensitivity, label,
                      LabelMetric::sensitivity_at_sensitivity)};
  if (has_delong)
    json["delong"] = {{"auroc", number(label.delong.auroc)},
                      {"standard_error", number(label.delong.standard_error)},
                      {"interval", pair(label.delong.low, label.delong.high)}};
  json["roc"] = curve_json(label.roc, "false_positive_rate", "true_positive_rate");
  json["precision_recall"] = curve_json(label.precision_recall, "recall", "precision");
  json["calibration"] = calibration_json(label.calibration);
  return json;
}

Json level_json(const LevelEvaluation& level, const EvaluationOptions& options) {
  const bool are_patients = level.level == "patients";
  Json labels = Json::array();
  for (const LabelEvaluation& label : level.labels)
    labels.push_back(label_json(label, options, are_patients));
  Json json{{"rows", level.rows}, {"labels", labels}};
  Figures figures;
  for (std::size_t m = 0; m < kLevelMetricCount; ++m) {
    const auto metric = static_cast<LevelMetric>(m);
    if (metric != LevelMetric::rsna_log_loss || are_patients) figures.add(name_of(metric), level[metric]);
  }
  figures.put_into(json);
  return json;
}

Json difference_json(const Difference& d) {
  Json json{{"label", d.label.empty() ? Json() : Json(d.label)},
            {"metric", d.metric},
            {"a", number(d.a)},
            {"b", number(d.b)},
            {"difference", number(d.difference.value)},
            {"interval", pair(d.difference.interval.low, d.difference.interval.high)},
            {"p", number(d.p)}};
  if (d.difference.interval.undefined > 0) json["undefined_replicates"] = d.difference.interval.undefined;
  return json;
}

Json differences_json(const std::vector<Difference>& differences) {
  Json json = Json::array();
  for (const Difference& difference : differences) json.push_back(difference_json(difference));
  return json;
}

Json comparison_json(const Comparison& comparison, const std::vector<LabelEvaluation>& labels) {
  Json delong = Json::array();
  for (std::size_t i = 0; i < comparison.delong.size(); ++i) {
    const nn::DelongComparison& d = comparison.delong[i];
    delong.push_back({{"label", labels[i].label},
                      {"difference", number(d.difference)},
                      {"standard_error", number(d.standard_error)},
                      {"interval", pair(d.low, d.high)},
                      {"z", number(d.z)},
                      {"p", number(d.p)}});
  }
  return {{"with", comparison.name},
          {"slices", differences_json(comparison.slices)},
          {"patients", differences_json(comparison.patients)},
          {"delong", delong}};
}

}  // namespace

Json evaluation_json(const Evaluation& e) {
  const Estimate &loss = e.slices[LevelMetric::loss], &rsna = e.patients[LevelMetric::rsna_log_loss];
  Json comparisons = Json::array();
  for (const Comparison& comparison : e.comparisons)
    comparisons.push_back(comparison_json(comparison, e.patients.labels));
  return {{"threshold", e.options.decision.threshold},
          {"bootstrap",
           {{"unit", "patient"},
            {"patients", e.patients_drawn},
            {"replicates", e.options.bootstrap.replicates},
            {"seed", e.options.bootstrap.seed},
            {"confidence", e.options.confidence}}},
          {"slices", level_json(e.slices, e.options)},
          {"patients", level_json(e.patients, e.options)},
          {"loss", number(loss.value)},
          {"rsna_log_loss", number(rsna.value)},
          {"rsna_best_constant", number(e.rsna_best_constant)},
          {"intervals",
           {{"loss", pair(loss.interval.low, loss.interval.high)},
            {"rsna_log_loss", pair(rsna.interval.low, rsna.interval.high)}}},
          {"overall_was_derived", e.overall_was_derived},
          {"comparisons", comparisons}};
}

}  // namespace sagitta::apps
