#include "apps/explain/pointing_game.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "tensor/error.h"
#include "tensor/random.h"

namespace sagitta::apps {
namespace {

constexpr int kResamples = 2000;
constexpr random::Key kBootstrapKey{.seed = 1, .stream = 0xB005u, .step = 0};

using Trials = std::vector<const PointingTrial*>;

// Sums over the trials of one study.
struct StudySum {
  double hits = 0, chance = 0;
};

// Percentile interval of hits / chance over draws of as many studies as there are.
void bootstrap(const std::vector<StudySum>& studies, PointingScore& score) {
  std::vector<double> factors;
  std::uint64_t index = 0;
  for (int r = 0; r < kResamples; ++r) {
    StudySum sum;
    for (std::size_t i = 0; i < studies.size(); ++i) {
      const double u = random::uniform(kBootstrapKey, index++);
      const StudySum& drawn = studies[std::min(
          studies.size() - 1, static_cast<std::size_t>(u * static_cast<double>(studies.size())))];
      sum.hits += drawn.hits;
      sum.chance += drawn.chance;
    }
    factors.push_back(sum.hits / sum.chance);
  }
  std::sort(factors.begin(), factors.end());
  score.low = factors[static_cast<std::size_t>(0.025 * kResamples)];
  score.high = factors[static_cast<std::size_t>(0.975 * kResamples) - 1];
}

// The next trial of another study with the same label, around the end; null if there is none.
const PointingTrial* other_study(const Trials& trials, std::size_t i) {
  for (std::size_t step = 1; step < trials.size(); ++step) {
    const PointingTrial* other = trials[(i + step) % trials.size()];
    if (other->study != trials[i]->study && other->label == trials[i]->label) return other;
  }
  return nullptr;
}

double swapped_rate(const Trials& trials) {
  int pairs = 0, hits = 0;
  for (std::size_t i = 0; i < trials.size(); ++i) {
    const PointingTrial* other = other_study(trials, i);
    if (!other) continue;
    ++pairs;
    hits += other->hottest >= 0 && trials[i]->mask[static_cast<std::size_t>(other->hottest)] ? 1 : 0;
  }
  return pairs ? static_cast<double>(hits) / pairs : std::nan("");
}

PointingScore score_of(const std::string& label, const Trials& trials) {
  PointingScore score;
  score.label = label;
  score.trials = static_cast<int>(trials.size());
  std::map<std::string, StudySum> studies;
  for (const PointingTrial* trial : trials) {
    score.hits += trial->hit() ? 1 : 0;
    score.chance += trial->body_area / score.trials;
    score.picture_chance += trial->area / score.trials;
    score.energy += trial->energy / score.trials;
    studies[trial->study].hits += trial->hit() ? 1 : 0;
    studies[trial->study].chance += trial->body_area;
  }
  score.studies = static_cast<int>(studies.size());
  score.rate = static_cast<double>(score.hits) / score.trials;
  score.factor = score.rate / score.chance;
  score.energy_factor = score.energy / score.chance;
  score.swapped_rate = swapped_rate(trials);
  std::vector<StudySum> sums;
  for (const auto& [study, sum] : studies) sums.push_back(sum);
  bootstrap(sums, score);
  return score;
}

nlohmann::ordered_json number(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json();
}

}  // namespace

PointingTrial pointing_trial(std::string study, std::string label, std::vector<std::uint8_t> mask,
                             std::span<const float> heat, std::span<const std::uint8_t> pixels) {
  require(mask.size() == heat.size() && pixels.size() == 3 * mask.size(),
          "pointing game: {} values of a mask, {} of heat and {} of pixels", mask.size(), heat.size(),
          pixels.size());
  PointingTrial trial;
  trial.study = std::move(study);
  trial.label = std::move(label);
  trial.mask = std::move(mask);
  double inside = 0, body = 0, body_inside = 0, heat_sum = 0, heat_inside = 0;
  for (std::size_t i = 0; i < trial.mask.size(); ++i) {
    const bool is_inside = trial.mask[i] != 0;
    const bool is_body = *std::max_element(&pixels[3 * i], &pixels[3 * i] + 3) > kAir;
    inside += is_inside;
    body += is_body;
    body_inside += is_body && is_inside;
    heat_sum += heat[i];
    heat_inside += is_inside ? heat[i] : 0;
  }
  require(inside > 0, "pointing game: {} of study {} has no box in the slice", trial.label, trial.study);
  trial.area = inside / static_cast<double>(trial.mask.size());
  // A box in nothing but air is counted as a box anywhere in the picture.
  trial.body_area = body_inside > 0 ? body_inside / body : trial.area;
  if (heat_sum > 0) {
    trial.energy = heat_inside / heat_sum;
    trial.hottest = std::max_element(heat.begin(), heat.end()) - heat.begin();
  }
  return trial;
}

std::vector<PointingScore> score_pointing(const std::vector<PointingTrial>& trials) {
  require(!trials.empty(), "pointing game: no slice of these studies is crossed by a box of a label it has");
  std::map<std::string, Trials> by_label;
  Trials all;
  for (const PointingTrial& trial : trials) {
    all.push_back(&trial);
    by_label[trial.label].push_back(&trial);
  }
  std::vector<PointingScore> scores;
  for (const auto& [label, own] : by_label) scores.push_back(score_of(label, own));
  scores.push_back(score_of("all", all));
  return scores;
}

std::string format_pointing(const std::vector<PointingScore>& scores) {
  std::string text =
      fmt::format("{:<16}{:>7}{:>9}{:>7}{:>8}{:>9}{:>8}{:>14}{:>9}{:>8}{:>9}\n", "label", "slices", "studies",
                  "hits", "rate", "chance", "factor", "95 %", "swapped", "energy", "factor");
  for (const PointingScore& s : scores)
    text += fmt::format(
        "{:<16}{:>7}{:>9}{:>7}{:>8.3f}{:>9.4f}{:>8.2f}{:>14}{:>9}{:>8.3f}{:>9.2f}\n", s.label, s.trials,
        s.studies, s.hits, s.rate, s.chance, s.factor, fmt::format("{:.2f}-{:.2f}", s.low, s.high),
        std::isnan(s.swapped_rate) ? "-" : fmt::format("{:.3f}", s.swapped_rate), s.energy, s.energy_factor);
  const PointingScore& all = scores.back();
  text += fmt::format(
      "chance: the boxes' share of what is not air; of the whole picture it is {:.4f} (factor {:.2f})\n",
      all.picture_chance, all.rate / all.picture_chance);
  return text;
}

nlohmann::ordered_json pointing_json(const std::vector<PointingScore>& scores) {
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  for (const PointingScore& s : scores)
    rows.push_back({{"label", s.label},
                    {"slices", s.trials},
                    {"studies", s.studies},
                    {"hits", s.hits},
                    {"hit_rate", s.rate},
                    {"chance", s.chance},
                    {"factor", s.factor},
                    {"factor_95", {s.low, s.high}},
                    {"picture_chance", s.picture_chance},
                    {"picture_factor", s.rate / s.picture_chance},
                    {"swapped_hit_rate", number(s.swapped_rate)},
                    {"energy", s.energy},
                    {"energy_factor", s.energy_factor}});
  return rows;
}

}  // namespace sagitta::apps
