#include "apps/study/study_evaluation.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/engine/json_number.h"
#include "apps/evaluate/evaluation_files.h"
#include "apps/study/slice_labels.h"
#include "apps/study/study_predictions.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;

std::string name_of(const SliceBaseline& baseline) {
  return "slices, " + apps::name_of(baseline.aggregator.rule());
}

// A figure over all labels of patients: `a` the study model's, `b` the rule's.
const Difference& over_labels(const Comparison& comparison, LevelMetric metric) {
  for (const Difference& difference : comparison.patients)
    if (difference.label.empty() && difference.metric == apps::name_of(metric)) return difference;
  fail("evaluation: {} is not compared", apps::name_of(metric));
}

// "+0.012 [-0.003, +0.021]"; without the interval where it is undefined.
std::string text_of(const Estimate& difference) {
  const double low = difference.interval.low, high = difference.interval.high;
  return std::isfinite(low) && std::isfinite(high)
             ? fmt::format("{:+.4f} [{:+.4f}, {:+.4f}]", difference.value, low, high)
             : fmt::format("{:+.4f}", difference.value);
}

void print_baselines(const std::vector<SliceBaseline>& baselines, std::size_t best,
                     const Evaluation& evaluation) {
  fmt::print("\nmacro AUROC over patients  validation    test  study model - rule\n");
  for (std::size_t i = 0; i < baselines.size(); ++i) {
    const Difference& on_test = over_labels(evaluation.comparisons[i], LevelMetric::macro_auroc);
    fmt::print("{:<25}      {:.4f}  {:.4f}  {}{}\n", name_of(baselines[i]), baselines[i].validation_auroc,
               on_test.b, text_of(on_test.difference), i == best ? "  chosen on validation" : "");
  }
  fmt::print("{:<25}              {:.4f}\n", "study model",
             evaluation.patients[LevelMetric::macro_auroc].value);
}

Json baselines_json(const std::vector<SliceBaseline>& baselines, std::size_t best,
                    const Evaluation& evaluation) {
  Json rules = Json::array();
  for (std::size_t i = 0; i < baselines.size(); ++i) {
    const Comparison& comparison = evaluation.comparisons[i];
    rules.push_back({{"rule", apps::name_of(baselines[i].aggregator.rule())},
                     {"validation_macro_auroc", number(baselines[i].validation_auroc)},
                     {"test_macro_auroc", number(over_labels(comparison, LevelMetric::macro_auroc).b)},
                     {"test_rsna_log_loss", number(over_labels(comparison, LevelMetric::rsna_log_loss).b)}});
  }
  return {{"chosen_on_validation", apps::name_of(baselines[best].aggregator.rule())}, {"rules", rules}};
}

}  // namespace

void evaluate_studies(models::StudyModel& model, const nn::Context& context, const StudyPart& validation,
                      const StudyPart& test, const StudyEvaluationOptions& options,
                      const std::filesystem::path& folder) {
  const std::vector<SliceBaseline> baselines =
      slice_baselines(validation.slices, slice_predictions(validation.slices, validation.features));
  const std::size_t best = best_baseline(baselines);
  Scores scores{.name = options.model,
                .slices = test.slices,
                .labels = study_labels(),
                .by_slice = slice_predictions(test.slices, test.features),
                .by_study = study_predictions(model, context, StudyData(test.slices, test.features)),
                .parts = {}};
  std::vector<Scores> rules;
  for (const SliceBaseline& baseline : baselines) {
    Scores& rule = rules.emplace_back(scores);
    rule.name = name_of(baseline);
    rule.by_study = aggregate(test.slices, scores.by_slice, baseline.aggregator);
  }
  EvaluationOptions statistics;
  statistics.bootstrap = options.bootstrap;
  const Evaluation evaluation = evaluate(scores, rules, statistics);
  fmt::print("{}", format_evaluation(evaluation));
  print_baselines(baselines, best, evaluation);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  require(!error, "{}: cannot be created: {}", folder.string(), error.message());
  write_evaluation(folder,
                   {{"models", {options.model}},
                    {"data", test.slices.root.string()},
                    {"split", "test"},
                    {"aggregation", "study model"},
                    {"slice_aggregations", baselines_json(baselines, best, evaluation)}},
                   scores, evaluation);
}

}  // namespace sagitta::apps
