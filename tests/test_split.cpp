// Splits: no leaking patient, sizes, stratification, independence of order.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "data/phantom_labels.h"
#include "data/split.h"
#include "tensor/error.h"

using namespace sagitta::data;

namespace {

std::vector<StudyLabels> many_studies(int count) {
  const auto labels = sample_labels(count, 1, 5);
  std::vector<StudyLabels> studies;
  for (int i = 0; i < count; ++i)
    studies.push_back(
        {fmt::format("s{}", i), *std::max_element(labels[i].begin(), labels[i].end()), labels[i]});
  return studies;
}

}  // namespace

TEST_CASE(
    "split: a partition of the asked sizes, the same for any order of the input, other for another seed") {
  auto studies = many_studies(203);
  const auto parts = split_studies(studies, {0.8, 0.1, 0.1}, 1);
  std::set<std::string> all;
  for (const auto& part : parts) all.insert(part.begin(), part.end());
  CHECK(all.size() == 203);
  CHECK(parts[0].size() + parts[1].size() + parts[2].size() == 203);
  CHECK(std::abs(static_cast<int>(parts[0].size()) - 162) <= 1);
  CHECK(std::abs(static_cast<int>(parts[1].size()) - 20) <= 1);
  std::reverse(studies.begin(), studies.end());
  CHECK(split_studies(studies, {0.8, 0.1, 0.1}, 1) == parts);
  CHECK(split_studies(studies, {8, 1, 1}, 1) == parts);
  CHECK(split_studies(studies, {0.8, 0.1, 0.1}, 2) != parts);
}

TEST_CASE("split: labels are spread in proportion") {
  const auto studies = many_studies(400);
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    const auto folds = split_studies(studies, {1, 1, 1, 1, 1}, seed);
    for (int label = 0; label < 8; ++label) {
      const auto positive = [&](const StudyLabels& s) { return label == 0 ? s.overall : s.c[label - 1]; };
      const auto total = std::count_if(studies.begin(), studies.end(), positive);
      for (const auto& fold : folds) {
        CHECK(fold.size() == 80);
        const auto here = std::count_if(studies.begin(), studies.end(), [&](const StudyLabels& s) {
          return positive(s) && std::binary_search(fold.begin(), fold.end(), s.study);
        });
        CAPTURE(label);
        // Over many seeds the largest deviation is 4.4; dealing at random gives about 10.
        CHECK(std::abs(static_cast<double>(here) - static_cast<double>(total) / 5) <= 5);
      }
    }
  }
}

TEST_CASE("split: all studies of a patient stay together") {
  std::vector<SplitStudy> studies;
  for (int i = 0; i < 60; ++i) {
    SplitStudy study{fmt::format("s{}", i), fmt::format("p{}", i / 3), {}};
    study.labels[0] = study.labels[2] = i % 7 == 0;
    study.labels[5] = -1;
    studies.push_back(study);
  }
  const auto parts = split_studies(studies, {0.5, 0.5}, 9);
  CHECK(parts[0].size() == 30);
  std::set<int> patients;
  for (const auto& name : parts[0]) patients.insert(std::stoi(name.substr(1)) / 3);
  CHECK(patients.size() == 10);
}

TEST_CASE("split: what cannot be split is refused") {
  CHECK_THROWS_AS(split_studies(many_studies(2), {1, 1, 1}, 1), sagitta::Error);
  CHECK_THROWS_AS(split_studies(many_studies(9), {1, 0}, 1), sagitta::Error);
  CHECK_THROWS_AS(split_studies(many_studies(9), {}, 1), sagitta::Error);
  auto twice = many_studies(9);
  twice.push_back(twice[0]);
  CHECK_THROWS_AS(split_studies(twice, {1, 1}, 1), sagitta::Error);
  CHECK(split_studies(many_studies(3), {98, 1, 1}, 1)[2].size() == 1);
}

TEST_CASE("phantom labels: quotas, both classes, neighbors together") {
  const auto labels = sample_labels(2019, 1, 3);
  int fractured = 0, neighbors = 0, positives = 0;
  std::array<int, 7> count{};
  for (const auto& c : labels) {
    fractured += *std::max_element(c.begin(), c.end());
    for (int i = 0; i < 7; ++i) {
      count[i] += c[i];
      positives += c[i];
      if (i > 0) neighbors += c[i] && c[i - 1];
    }
  }
  CHECK(fractured == 961);
  CHECK(count == std::array<int, 7>{146, 285, 73, 108, 162, 277, 393});
  CHECK(neighbors > 100);
  for (int studies : {2, 3, 5, 10, 24}) {
    const auto few = sample_labels(studies, 1, 4);
    for (int level = 0; level < 7; ++level) {
      const auto positive =
          std::count_if(few.begin(), few.end(), [&](const auto& c) { return c[level] == 1; });
      CAPTURE(studies);
      CAPTURE(level);
      CHECK(positive >= 1);
      CHECK(positive < studies);
    }
    CHECK(std::any_of(few.begin(), few.end(),
                      [](const auto& c) { return *std::max_element(c.begin(), c.end()) == 0; }));
  }
  CHECK(sample_labels(1, 1, 4).size() == 1);
  CHECK_THROWS_AS(sample_labels(5, 0, 1), sagitta::Error);
}
