#include "apps/evaluate/aggregation.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "apps/evaluate/study_ranges.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "sagitta study aggregator";
constexpr std::array<const char*, 4> kRuleNames{"mean", "max", "noisy-or", "learned"};
constexpr std::array<const char*, 3> kFeatureNames{"mean_logit", "max_logit", "top3_mean_logit"};

// log(1 + exp(x)) without overflow.
double softplus(double x) { return std::log1p(std::exp(-std::abs(x))) + std::max(x, 0.0); }

// log of the sum of exp(values).
double log_sum_exp(std::span<const double> values) {
  const double largest = *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (double value : values) sum += std::exp(value - largest);
  return largest + std::log(sum);
}

// As kFeatureNames. Beyond +-30 a logit says nothing more, but would rule a regression.
std::vector<double> features_of(std::span<const float> logits) {
  std::vector<double> sorted;
  for (float logit : logits) sorted.push_back(std::clamp(static_cast<double>(logit), -30.0, 30.0));
  std::sort(sorted.rbegin(), sorted.rend());
  const auto mean_of = [&](std::size_t count) {
    return std::accumulate(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(count), 0.0) /
           static_cast<double>(count);
  };
  return {mean_of(sorted.size()), sorted.front(), mean_of(std::min<std::size_t>(3, sorted.size()))};
}

nn::LogisticRegression read_model(const Json& json) {
  nn::LogisticRegression model{.intercept = json.at("intercept"), .coefficients = {}};
  for (const char* feature : kFeatureNames) model.coefficients.push_back(json.at(feature));
  return model;
}

}  // namespace

AggregationRule parse_aggregation_rule(const std::string& name) {
  const auto found = std::find(kRuleNames.begin(), kRuleNames.end(), name);
  require(found != kRuleNames.end(), "--aggregate is '{}', expected mean, max, noisy-or or learned", name);
  return static_cast<AggregationRule>(found - kRuleNames.begin());
}

std::string name_of(AggregationRule rule) { return kRuleNames[static_cast<std::size_t>(rule)]; }

StudyAggregator::StudyAggregator(AggregationRule rule, std::vector<std::string> labels)
    : rule_(rule), labels_(std::move(labels)), models_(labels_.size()) {
  require(rule != AggregationRule::learned, "aggregation: learned has to be fitted or loaded");
}

StudyAggregator StudyAggregator::fit(const data::SliceSet& slices, const Predictions& predictions,
                                     std::vector<std::string> labels, double penalty) {
  StudyAggregator result(AggregationRule::mean, std::move(labels));
  result.rule_ = AggregationRule::learned;
  result.fitted_studies_ = slices.studies();
  result.penalty_ = penalty;
  const std::vector<StudyRange> studies = study_ranges(slices);
  for (std::size_t label = 0; label < result.labels_.size(); ++label) {
    std::vector<double> features;
    std::vector<float> targets;
    for (const StudyRange& study : studies) {
      const std::vector<double> mine = features_of(label_logits(predictions, study, label));
      features.insert(features.end(), mine.begin(), mine.end());
      targets.push_back(predictions.targets[study.begin * predictions.labels + label]);
    }
    const auto positives = std::count(targets.begin(), targets.end(), 1.0F);
    if (positives >= 2 && static_cast<std::ptrdiff_t>(targets.size()) - positives >= 2)
      result.models_[label] = nn::fit_logistic_regression(features, targets, penalty);
  }
  return result;
}

std::vector<float> StudyAggregator::apply(std::span<const float> logits) const {
  const std::size_t labels = labels_.size();
  require(!logits.empty() && logits.size() % labels == 0,
          "aggregation: {} logits are not slices of {} labels", logits.size(), labels);
  std::vector<float> result, mine(logits.size() / labels);
  for (std::size_t label = 0; label < labels; ++label) {
    for (std::size_t slice = 0; slice < mine.size(); ++slice) mine[slice] = logits[slice * labels + label];
    if (models_[label])
      result.push_back(static_cast<float>(models_[label]->logit(features_of(mine))));
    else if (rule_ == AggregationRule::max)
      result.push_back(*std::max_element(mine.begin(), mine.end()));
    else
      result.push_back(rule_ == AggregationRule::noisy_or ? noisy_or(mine)
                                                          : static_cast<float>(logit_of_mean(mine)));
  }
  return result;
}

std::vector<std::string> StudyAggregator::unfitted_labels() const {
  std::vector<std::string> result;
  for (std::size_t i = 0; i < labels_.size(); ++i)
    if (rule_ == AggregationRule::learned && !models_[i]) result.push_back(labels_[i]);
  return result;
}

Json StudyAggregator::json() const {
  Json labels = Json::array();
  for (std::size_t i = 0; i < labels_.size(); ++i) {
    Json label{{"label", labels_[i]}};
    if (rule_ == AggregationRule::learned && !models_[i]) label["rule"] = "mean";
    if (models_[i]) {
      label["intercept"] = models_[i]->intercept;
      for (std::size_t f = 0; f < kFeatureNames.size(); ++f)
        label[kFeatureNames[f]] = models_[i]->coefficients[f];
    }
    labels.push_back(label);
  }
  Json json{{"format", kFormat}, {"version", 1}, {"rule", name_of(rule_)}, {"labels", labels}};
  if (rule_ != AggregationRule::learned) return json;
  json["penalty"] = penalty_;
  json["fitted_studies"] = fitted_studies_;
  return json;
}

void StudyAggregator::save(const std::filesystem::path& file) const {
  write_text_file(file, json().dump(2) + "\n");
}

StudyAggregator StudyAggregator::load(const std::filesystem::path& file) {
  try {
    const Json json = Json::parse(read_text_file(file));
    require(json.is_object() && json.value("format", "") == kFormat && json.value("version", 0) == 1,
            "{}: is not a study aggregator of version 1, as `evaluate --aggregate` writes it", file.string());
    const std::string rule = json.at("rule");
    require(std::find(kRuleNames.begin(), kRuleNames.end(), rule) != kRuleNames.end(),
            "{}: the rule '{}' is unknown", file.string(), rule);
    StudyAggregator result(AggregationRule::mean, {});
    result.rule_ = parse_aggregation_rule(rule);
    for (const Json& label : json.at("labels")) {
      result.labels_.push_back(label.at("label"));
      const bool fitted = result.rule_ == AggregationRule::learned && !label.contains("rule");
      result.models_.push_back(fitted ? std::optional(read_model(label)) : std::nullopt);
    }
    require(!result.labels_.empty(), "{}: has no labels", file.string());
    if (result.rule_ != AggregationRule::learned) return result;
    result.penalty_ = json.at("penalty");
    result.fitted_studies_ = json.at("fitted_studies").get<std::vector<std::string>>();
    return result;
  } catch (const Json::exception& error) {
    fail("{}: is damaged ({})", file.string(), error.what());
  }
}

Predictions aggregate(const data::SliceSet& slices, const Predictions& predictions,
                      const StudyAggregator& aggregator) {
  const std::size_t labels = predictions.labels;
  require(labels == aggregator.labels().size() && predictions.rows() == slices.records.size(),
          "aggregation: {} rows of {} labels for {} slices and {} labels", predictions.rows(), labels,
          slices.records.size(), aggregator.labels().size());
  Predictions result{.labels = labels, .logits = {}, .targets = {}};
  for (const StudyRange& study : study_ranges(slices)) {
    const std::vector<float> logits = aggregator.apply(
        std::span(predictions.logits).subspan(study.begin * labels, (study.end - study.begin) * labels));
    result.logits.insert(result.logits.end(), logits.begin(), logits.end());
    const auto first = predictions.targets.begin() + static_cast<std::ptrdiff_t>(study.begin * labels);
    result.targets.insert(result.targets.end(), first, first + static_cast<std::ptrdiff_t>(labels));
  }
  return result;
}

double probability_of(float logit) { return 1 / (1 + std::exp(-static_cast<double>(logit))); }

double any_of(std::span<const double> probabilities) {
  double none = 1;
  for (const double p : probabilities) none *= 1 - p;
  return 1 - none;
}

float noisy_or(std::span<const float> logits) {
  double none = 0;  // log of the probability that no slice shows anything
  for (float logit : logits) none -= softplus(logit);
  // p = 1 - exp(none): its logit is log(exp(-none) - 1).
  return static_cast<float>(-none > 30 ? -none : std::log(std::expm1(std::max(-none, 1e-300))));
}

double logit_of_mean(std::span<const float> logits) {
  std::vector<double> yes, no;  // log p and log(1 - p)
  for (float logit : logits) {
    yes.push_back(-softplus(-static_cast<double>(logit)));
    no.push_back(-softplus(logit));
  }
  return log_sum_exp(yes) - log_sum_exp(no);
}

}  // namespace sagitta::apps
