// The tables of an evaluation for the terminal: what a reader looks at first; the rest is in evaluation.json.
#include <fmt/format.h>

#include <cmath>

#include "apps/evaluate/evaluation.h"

namespace sagitta::apps {
namespace {

std::string number(double value, int digits = 3) {
  return std::isnan(value) ? "-" : std::isinf(value) ? "none" : fmt::format("{:.{}f}", value, digits);
}

std::string with_interval(const Estimate& estimate, int digits = 3) {
  const std::string value = number(estimate.value, digits);
  if (std::isnan(estimate.interval.low)) return value;
  return fmt::format("{} ({} to {})", value, number(estimate.interval.low, digits),
                     number(estimate.interval.high, digits));
}

std::string probability(double p) {
  return std::isnan(p) ? "-" : p < 0.001 ? "<0.001" : fmt::format("{:.3f}", p);
}

std::string positives(const LabelEvaluation& label) {
  return fmt::format("{} ({:.0f}%)", label.positives, 100 * label[LabelMetric::prevalence].value);
}

std::string discrimination(const LevelEvaluation& level) {
  std::string text =
      fmt::format("{:<17}{:>12}{:>25}{:>25}{:>25}\n", "label", "positives", "AUROC", "AP", "F1");
  for (const LabelEvaluation& label : level.labels)
    text += fmt::format("{:<17}{:>12}{:>25}{:>25}{:>25}\n", label.label, positives(label),
                        with_interval(label[LabelMetric::auroc]),
                        with_interval(label[LabelMetric::average_precision]),
                        with_interval(label[LabelMetric::f1]));
  text += fmt::format("{:<17}{:>12}{:>25}{:>25}{:>25}\n", "mean", "",
                      with_interval(level[LevelMetric::macro_auroc]),
                      with_interval(level[LevelMetric::macro_average_precision]),
                      with_interval(level[LevelMetric::macro_f1]));
  return text;
}

std::string decisions(const LevelEvaluation& level, double threshold) {
  std::string text = fmt::format(
      "predicted where the probability is at least {}\n{:<17}{:>5}{:>5}{:>5}{:>5}{:>25}{:>25}{:>8}{:>8}\n",
      threshold, "label", "TP", "FP", "FN", "TN", "sensitivity", "specificity", "PPV", "NPV");
  for (const LabelEvaluation& label : level.labels) {
    const nn::Confusion& counts = label.at_threshold.counts;
    text +=
        fmt::format("{:<17}{:>5}{:>5}{:>5}{:>5}{:>25}{:>25}{:>8}{:>8}\n", label.label, counts.true_positives,
                    counts.false_positives, counts.false_negatives, counts.true_negatives,
                    with_interval(label[LabelMetric::recall]), with_interval(label[LabelMetric::specificity]),
                    number(label[LabelMetric::precision].value), number(label[LabelMetric::npv].value));
  }
  return text;
}

std::string operating_points(const LevelEvaluation& level, const nn::OperatingGoals& goals) {
  std::string text =
      fmt::format("{:<17}{:>42}{:>42}\n{:<17}{:>11}{:>25}{:>6}{:>11}{:>25}{:>6}\n", "thresholds for",
                  fmt::format("specificity of at least {}", goals.specificity),
                  fmt::format("sensitivity of at least {}", goals.sensitivity), "label", "threshold",
                  "sensitivity", "PPV", "threshold", "specificity", "NPV");
  for (const LabelEvaluation& label : level.labels)
    text += fmt::format(
        "{:<17}{:>11}{:>25}{:>6}{:>11}{:>25}{:>6}\n", label.label, number(label.at_specificity.threshold),
        with_interval(label[LabelMetric::sensitivity_at_specificity]),
        number(label[LabelMetric::ppv_at_specificity].value, 2), number(label.at_sensitivity.threshold),
        with_interval(label[LabelMetric::specificity_at_sensitivity]),
        number(label[LabelMetric::npv_at_sensitivity].value, 2));
  return text;
}

std::string calibration(const LevelEvaluation& level) {
  std::string text = fmt::format("{:<17}{:>25}{:>25}\n", "calibration", "Brier score", "calibration error");
  for (const LabelEvaluation& label : level.labels)
    text += fmt::format("{:<17}{:>25}{:>25}\n", label.label, with_interval(label[LabelMetric::brier]),
                        with_interval(label[LabelMetric::ece]));
  return text;
}

std::string comparison(const Comparison& comparison, const Evaluation& e) {
  std::string text =
      fmt::format("\ncompared, on the same patients: a is {}, b is {}\n{:<41}{:>8}{:>8}{:>26}{:>8}{:>10}\n",
                  e.name, comparison.name, "patients", "a", "b", "a - b", "p", "DeLong p");
  const auto row = [&](const std::string& name, const Difference& d, const std::string& delong) {
    text += fmt::format("{:<41}{:>8}{:>8}{:>26}{:>8}{:>10}\n", name, number(d.a), number(d.b),
                        with_interval(d.difference), probability(d.p), delong);
  };
  std::size_t label = 0;
  for (const Difference& d : comparison.patients) {
    if (d.label.empty()) row(d.metric, d, "");
    if (!d.label.empty() && d.metric == name_of(LabelMetric::auroc))
      row("auroc of " + d.label, d, probability(comparison.delong[label++].p));
  }
  text += "slices\n";
  for (const Difference& d : comparison.slices)
    if (d.label.empty() && d.metric != name_of(LevelMetric::rsna_log_loss)) row(d.metric, d, "");
  return text;
}

}  // namespace

std::string format_evaluation(const Evaluation& e) {
  const DecisionOptions& decision = e.options.decision;
  std::string text =
      fmt::format("slices ({})\n{}exact match {}, mean binary cross-entropy {}\n\n", e.slices.rows,
                  discrimination(e.slices), with_interval(e.slices[LevelMetric::exact_match]),
                  with_interval(e.slices[LevelMetric::loss], 4));
  text += fmt::format("patients ({})\n{}exact match {}\n\n", e.patients.rows, discrimination(e.patients),
                      with_interval(e.patients[LevelMetric::exact_match]));
  text += decisions(e.patients, decision.threshold) + "\n";
  text += operating_points(e.patients, decision.goals) + "\n";
  text += calibration(e.patients) + "\n";
  text += fmt::format("RSNA weighted log loss of the patients {}; the best constant reaches {:.4f}{}\n",
                      with_interval(e.patients[LevelMetric::rsna_log_loss], 4), e.rsna_best_constant,
                      e.overall_was_derived ? " (patient_overall derived from C1..C7)" : "");
  for (const Comparison& other : e.comparisons) text += comparison(other, e);
  if (e.options.bootstrap.replicates > 0)
    text += fmt::format("({:.0f} % intervals from {} bootstrap samples of {} patients)\n",
                        100 * e.options.confidence, e.options.bootstrap.replicates, e.patients_drawn);
  return text;
}

}  // namespace sagitta::apps
