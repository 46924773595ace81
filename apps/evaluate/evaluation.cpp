#include "apps/evaluate/evaluation.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "data/rsna_metric.h"
#include "nn/metrics.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;

LevelMetrics level_metrics(const std::string& level, const ScoreTable& table,
                           const std::vector<std::size_t>& labels, double threshold) {
  LevelMetrics metrics{.level = level, .rows = table.scores.size() / labels.size(), .labels = {}};
  std::vector<double> areas, precisions, f1s;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::vector<float> scores = nn::column(table.scores, labels.size(), i);
    const std::vector<float> targets = nn::column(table.targets, labels.size(), i);
    const nn::ThresholdMetrics at = nn::at_threshold(scores, targets, threshold);
    LabelMetrics label{.label = data::kLabelNames[labels[i]],
                       .positives = static_cast<int>(std::count(targets.begin(), targets.end(), 1.0F)),
                       .auroc = nn::auroc(scores, targets),
                       .average_precision = nn::average_precision(scores, targets),
                       .precision = at.precision,
                       .recall = at.recall,
                       .f1 = at.f1};
    areas.push_back(label.auroc);
    precisions.push_back(label.average_precision);
    f1s.push_back(label.f1);
    metrics.labels.push_back(std::move(label));
  }
  metrics.macro_auroc = nn::mean_defined(areas);
  metrics.macro_average_precision = nn::mean_defined(precisions);
  metrics.macro_f1 = nn::mean_defined(f1s);
  metrics.exact_match = nn::exact_match(table.scores, table.targets, labels.size(), threshold);
  return metrics;
}

// The competition wants all eight labels; what the model does not predict is derived from what it does, or
// left at the best constant.
std::vector<data::ExamPrediction> exams_of(const data::SliceSet& slices, const ScoreTable& patients,
                                           const std::vector<std::size_t>& labels,
                                           bool& overall_was_derived) {
  std::vector<data::ExamPrediction> exams;
  std::string study;
  for (const data::SliceRecord& record : slices.records) {
    if (record.study == study) continue;
    study = record.study;
    exams.push_back({.truth = record.labels, .probability = {}});
  }
  const std::array<float, 8> constant = data::best_constant(exams);
  const bool has_overall = std::find(labels.begin(), labels.end(), std::size_t{0}) != labels.end();
  overall_was_derived = !has_overall;
  for (std::size_t row = 0; row < exams.size(); ++row) {
    exams[row].probability = constant;
    double none = 1;
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const float p = patients.scores[row * labels.size() + i];
      exams[row].probability[labels[i]] = p;
      if (labels[i] != 0) none *= 1 - p;
    }
    if (!has_overall) exams[row].probability[0] = static_cast<float>(1 - none);
  }
  return exams;
}

std::string percent(double value) { return std::isnan(value) ? "-" : fmt::format("{:.3f}", value); }

std::string format_level(const LevelMetrics& metrics, double threshold) {
  std::string text =
      fmt::format("{} ({})\n{:<16}{:>10}{:>9}{:>9}{:>11}{:>9}{:>9}\n", metrics.level, metrics.rows, "label",
                  "positives", "AUROC", "AP", "precision", "recall", "F1");
  for (const LabelMetrics& m : metrics.labels)
    text += fmt::format("{:<16}{:>10}{:>9}{:>9}{:>11}{:>9}{:>9}\n", m.label, m.positives, percent(m.auroc),
                        percent(m.average_precision), percent(m.precision), percent(m.recall), percent(m.f1));
  text += fmt::format("{:<16}{:>10}{:>9}{:>9}{:>11}{:>9}{:>9}\n", "mean", "", percent(metrics.macro_auroc),
                      percent(metrics.macro_average_precision), "", "", percent(metrics.macro_f1));
  text += fmt::format("exact match {} (threshold {})\n", percent(metrics.exact_match), threshold);
  return text;
}

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json level_json(const LevelMetrics& metrics) {
  Json labels = Json::array();
  for (const LabelMetrics& m : metrics.labels)
    labels.push_back({{"label", m.label},
                      {"positives", m.positives},
                      {"auroc", number(m.auroc)},
                      {"average_precision", number(m.average_precision)},
                      {"precision", number(m.precision)},
                      {"recall", number(m.recall)},
                      {"f1", number(m.f1)}});
  return {{"rows", metrics.rows},
          {"labels", labels},
          {"macro_auroc", number(metrics.macro_auroc)},
          {"macro_average_precision", number(metrics.macro_average_precision)},
          {"macro_f1", number(metrics.macro_f1)},
          {"exact_match", number(metrics.exact_match)}};
}

}  // namespace

Aggregation parse_aggregation(const std::string& name) {
  if (name == "mean") return Aggregation::mean;
  if (name == "max") return Aggregation::max;
  fail("--aggregate is '{}', expected mean or max", name);
}

ScoreTable aggregate(const data::SliceSet& slices, const Predictions& predictions, Aggregation aggregation) {
  const std::vector<float> probabilities = predictions.probabilities();
  const std::size_t labels = predictions.labels;
  ScoreTable patients{.labels = labels, .scores = {}, .targets = {}};
  for (std::size_t begin = 0; begin < slices.records.size();) {
    std::size_t end = begin;
    while (end < slices.records.size() && slices.records[end].study == slices.records[begin].study) ++end;
    for (std::size_t label = 0; label < labels; ++label) {
      double sum = 0;
      float largest = 0;
      for (std::size_t row = begin; row < end; ++row) {
        const float p = probabilities[row * labels + label];
        sum += p;
        largest = std::max(largest, p);
      }
      const auto mean = static_cast<float>(sum / static_cast<double>(end - begin));
      patients.scores.push_back(aggregation == Aggregation::mean ? mean : largest);
      patients.targets.push_back(predictions.targets[begin * labels + label]);
    }
    begin = end;
  }
  return patients;
}

Evaluation evaluate(const data::SliceSet& slices, const Predictions& predictions,
                    const std::vector<std::size_t>& labels, Aggregation aggregation, double threshold) {
  require(predictions.rows() == slices.records.size() && predictions.labels == labels.size(),
          "evaluate: {} predictions for {} slices", predictions.rows(), slices.records.size());
  require(predictions.rows() > 0, "evaluate: no labeled slices to evaluate on");
  Evaluation result{.slices = {}, .patients = {}, .threshold = threshold};
  result.slices = level_metrics("slices", {labels.size(), predictions.probabilities(), predictions.targets},
                                labels, threshold);
  const ScoreTable patients = aggregate(slices, predictions, aggregation);
  result.patients = level_metrics("patients", patients, labels, threshold);
  result.loss = mean_bce(predictions);
  std::vector<data::ExamPrediction> exams = exams_of(slices, patients, labels, result.overall_was_derived);
  result.rsna_log_loss = data::rsna_log_loss(exams);
  const std::array<float, 8> constant = data::best_constant(exams);
  for (data::ExamPrediction& exam : exams) exam.probability = constant;
  result.rsna_best_constant = data::rsna_log_loss(exams);
  return result;
}

std::string format_evaluation(const Evaluation& e) {
  std::string text =
      format_level(e.slices, e.threshold) + "\n" + format_level(e.patients, e.threshold) + "\n";
  text += fmt::format("mean binary cross-entropy of the slices {:.4f}\n", e.loss);
  text += fmt::format("RSNA weighted log loss of the patients {:.4f}; the best constant reaches {:.4f}{}\n",
                      e.rsna_log_loss, e.rsna_best_constant,
                      e.overall_was_derived ? " (patient_overall derived from C1..C7)" : "");
  return text;
}

Json evaluation_json(const Evaluation& e) {
  return {{"threshold", e.threshold},
          {"slices", level_json(e.slices)},
          {"patients", level_json(e.patients)},
          {"loss", number(e.loss)},
          {"rsna_log_loss", number(e.rsna_log_loss)},
          {"rsna_best_constant", number(e.rsna_best_constant)},
          {"overall_was_derived", e.overall_was_derived}};
}

}  // namespace sagitta::apps
