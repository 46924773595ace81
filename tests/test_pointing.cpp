// Overlays, examples, and the rules of the pointing game.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/explain/examples.h"
#include "apps/explain/overlay.h"
#include "apps/explain/pointing_game.h"
#include "tensor/error.h"

using namespace sagitta;
using namespace sagitta::apps;

namespace {

// A 4 x 4 picture: the left half is body, the box is the upper left quarter, heat as given.
PointingTrial trial(const std::string& study, const std::string& label, const std::vector<float>& heat) {
  std::vector<std::uint8_t> pixels(48), mask(16);
  for (std::size_t i = 0; i < 16; ++i) {
    if (i % 4 < 2) pixels[3 * i + 1] = kAir + 1;
    mask[i] = i % 4 < 2 && i < 8 ? 1 : 0;
  }
  return pointing_trial(study, label, mask, heat, pixels);
}

std::vector<float> hot_at(std::size_t pixel) {
  std::vector<float> heat(16, 0.25F);
  heat[pixel] = 1;
  return heat;
}

double luminance(const std::array<std::uint8_t, 3>& color) {
  const auto linear = [](std::uint8_t v) { return std::pow(v / 255.0, 2.2); };
  return 0.2126 * linear(color[0]) + 0.7152 * linear(color[1]) + 0.0722 * linear(color[2]);
}

}  // namespace

TEST_CASE("the colors of heat get lighter all the way, in steps that are even to the eye") {
  double previous = -1, largest = 0, smallest = 100;
  for (int i = 0; i <= 16; ++i) {
    // CIE lightness.
    const double y = luminance(heat_color(static_cast<float>(i) / 16));
    const double lightness = y > 0.008856 ? 116 * std::cbrt(y) - 16 : 903.3 * y;
    if (i > 0) {
      largest = std::max(largest, lightness - previous);
      smallest = std::min(smallest, lightness - previous);
    }
    previous = lightness;
  }
  CHECK(smallest > 1);
  CHECK(largest < 10);
  CHECK(heat_color(-1) == heat_color(0));
  CHECK(heat_color(7) == heat_color(1));
}

TEST_CASE("an overlay shows the slice where it is cold and the color where it is hot") {
  const data::Image grey{.width = 3, .height = 1, .channels = 1, .pixels = {100, 100, 100}};
  const data::Image heated = overlay(grey, std::vector<float>{0, 0.1F, 1});
  CHECK(heated.channels == 3);
  CHECK(std::vector(heated.pixels.begin(), heated.pixels.begin() + 6) == std::vector<std::uint8_t>(6, 100));
  const auto color = heat_color(1);
  for (std::size_t c = 0; c < 3; ++c)
    CHECK(heated.pixels[6 + c] == std::lround(0.25 * 100 + 0.75 * color[c]));
  const data::Image rgb{.width = 1, .height = 1, .channels = 3, .pixels = {1, 2, 3}};
  CHECK(overlay(rgb, std::vector<float>{0}).pixels == rgb.pixels);
  CHECK_THROWS_WITH_AS(overlay(grey, std::vector<float>{0}), doctest::Contains("1 values of heat"), Error);
  CHECK_THROWS_AS(
      overlay({.width = 1, .height = 1, .channels = 4, .pixels = {1, 2, 3, 4}}, std::vector<float>{0}),
      Error);
}

TEST_CASE("an outline is the rim of a mask") {
  data::Image image{.width = 5, .height = 5, .channels = 3, .pixels = std::vector<std::uint8_t>(75)};
  std::vector<std::uint8_t> mask(25);
  for (int y = 1; y <= 3; ++y)
    for (int x = 1; x <= 3; ++x) mask[static_cast<std::size_t>(5 * y + x)] = 1;
  outline(image, mask, {9, 9, 9});
  int drawn = 0;
  for (std::size_t i = 0; i < 25; ++i) {
    CHECK((image.pixels[3 * i] != 0) == (mask[i] && i != 12));
    drawn += image.pixels[3 * i] != 0;
  }
  CHECK(drawn == 8);
}

TEST_CASE("pointing: hits, chance and energy of one slice") {
  const PointingTrial hit = trial("a", "C2", hot_at(5));
  CHECK(hit.hit());
  CHECK(hit.area == doctest::Approx(4 / 16.0));
  CHECK(hit.body_area == doctest::Approx(4 / 8.0));
  CHECK(hit.energy == doctest::Approx((1 + 3 * 0.25) / (1 + 15 * 0.25)));
  CHECK_FALSE(trial("a", "C2", hot_at(6)).hit());
  const PointingTrial cold = trial("a", "C2", std::vector<float>(16));
  CHECK_FALSE(cold.hit());
  CHECK(cold.energy == 0);
  CHECK_THROWS_WITH_AS(
      pointing_trial("a", "C2", std::vector<std::uint8_t>(16), hot_at(0), std::vector<std::uint8_t>(48)),
      doctest::Contains("no box"), Error);
}

TEST_CASE("pointing: scores of labels and of all, with an interval over studies") {
  std::vector<PointingTrial> trials;
  for (int i = 0; i < 12; ++i)  // of every study two slices: one of three studies misses in both
    for (int slice = 0; slice < 2; ++slice)
      trials.push_back(trial("s" + std::to_string(i), "C5", hot_at(i % 3 == 0 ? 15 : 0)));
  trials.push_back(trial("other", "C2", hot_at(0)));
  const std::vector<PointingScore> scores = score_pointing(trials);
  REQUIRE(scores.size() == 3);
  CHECK(scores[0].label == "C2");
  CHECK(scores[2].label == "all");
  const PointingScore& c5 = scores[1];
  CHECK(c5.trials == 24);
  CHECK(c5.studies == 12);
  CHECK(c5.hits == 16);
  CHECK(c5.chance == doctest::Approx(0.5));
  CHECK(c5.picture_chance == doctest::Approx(0.25));
  CHECK(c5.factor == doctest::Approx(16 / 24.0 / 0.5));
  CHECK(c5.low < c5.factor);
  CHECK(c5.high > c5.factor);
  // Of 12 studies, hits are binomial with p = 2/3: deviation 0.136 of the rate, 0.272 of the factor.
  CHECK(c5.high - c5.low == doctest::Approx(2 * 1.96 * 0.272).epsilon(0.15));
  // Slices of one study are drawn together: as single slices they would look surer by the root of 2.
  CHECK(c5.swapped_rate == doctest::Approx(16 / 24.0));
  CHECK(std::isnan(scores[0].swapped_rate));
  CHECK(pointing_json(scores)[0]["swapped_hit_rate"].is_null());
  CHECK(format_pointing(scores).find("C5") != std::string::npos);
  CHECK_THROWS_AS(score_pointing({}), Error);
}

TEST_CASE("pointing: a swapped map comes from another study and the same label") {
  // Each study's own map hits, the other's would not.
  std::vector<std::uint8_t> left(16), right(16), pixels(48, 255);
  left[0] = right[15] = 1;
  const std::vector<PointingTrial> trials{pointing_trial("a", "C1", left, hot_at(0), pixels),
                                          pointing_trial("a", "C1", left, hot_at(0), pixels),
                                          pointing_trial("b", "C1", right, hot_at(15), pixels),
                                          pointing_trial("c", "C2", left, hot_at(0), pixels)};
  const PointingScore all = score_pointing(trials).back();
  CHECK(all.rate == 1);
  CHECK(all.swapped_rate == 0);
}

TEST_CASE("the telling slices: surest finds, worst misses, loudest alarms, one of a study each") {
  data::SliceSet slices;
  Predictions predictions{.labels = 1, .logits = {}, .targets = {}};
  const auto add = [&](const std::string& study, float logit, float target) {
    slices.records.push_back({.file = "x.png", .study = study, .labeled = true});
    predictions.logits.push_back(logit);
    predictions.targets.push_back(target);
  };
  add("a", 3, 1), add("a", 2, 1), add("b", 1, 1), add("c", -4, 1), add("d", 2, 0), add("e", -5, 0);
  const auto examples = telling_examples(slices, predictions, {5}, {0}, 2);
  std::vector<std::string> told;
  for (const Example& example : examples) told.push_back(example.kind + " " + example.question.slice.study);
  CHECK(told == std::vector<std::string>{"found a", "found b", "missed c", "missed b", "alarm d", "alarm e"});
  CHECK(examples[0].label == "C5");
  const auto chosen =
      telling_examples(slices, predictions, {5}, {0}, 1,
                       [](const auto& slice, std::size_t label) { return label == 5 && slice.study != "a"; });
  REQUIRE(chosen.size() == 3);
  CHECK(chosen[0].question.slice.study == "b");
  CHECK(chosen[2].question.slice.study == "d");  // false alarms are not asked about
  CHECK(examples[0].probability == doctest::Approx(1 / (1 + std::exp(-3.0))));
}
