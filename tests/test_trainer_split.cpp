// Which patients a run trains on: folds, and the seed of the split.
#include <doctest/doctest.h>

#include <set>

#include "apps/engine/slices.h"
#include "tensor/error.h"
#include "trainer_fixture.h"

using namespace sagitta;
using namespace sagitta::testing;

TEST_CASE("folds: every study is tested once, never by a model that has seen it") {
  data::SliceSet slices{.root = "nowhere", .records = {}};
  for (int i = 0; i < 40; ++i) {
    data::SliceRecord record{.file = "x.png", .study = fmt::format("s{:02}", i), .labeled = true};
    record.labels[0] = record.labels[1 + i % 7] = static_cast<float>(i % 3 == 0);
    slices.records.push_back(record);
  }
  std::multiset<std::string> tested;
  for (int fold = 1; fold <= 5; ++fold) {
    const StudySplit split =
        split_slices(slices, {.validation_fraction = 0.2, .fold = fold, .folds = 5, .seed = 3});
    CHECK(split.test.size() == 8);
    CHECK(split.validation.size() == 8);
    CHECK(split.train.size() == 24);
    std::set<std::string> all(split.train.begin(), split.train.end());
    all.insert(split.validation.begin(), split.validation.end());
    all.insert(split.test.begin(), split.test.end());
    CHECK(all.size() == 40);
    tested.insert(split.test.begin(), split.test.end());
  }
  CHECK(tested.size() == 40);
  CHECK(std::set<std::string>(tested.begin(), tested.end()).size() == 40);
  CHECK_THROWS_AS(split_slices(slices, {.validation_fraction = 0.6, .fold = 1, .folds = 2}), Error);

  TrainOptions options;
  options.fold = "2/5";
  CHECK(fold_of(options).part == 2);
  CHECK(fold_of(options).parts == 5);
  for (const char* wrong : {"0/5", "6/5", "1/1", "1", "/", "a/b", "1/5x", "-1/5", "1/"}) {
    options.fold = wrong;
    CHECK_THROWS_WITH_AS(fold_of(options), doctest::Contains("--fold"), Error);
  }
}

TEST_CASE("the patients are split by the seed, or by one of their own") {
  TrainOptions options;
  options.seed = 7;
  CHECK(split_options_of(options).seed == 7);
  options.split_seed = "18446744073709551615";
  CHECK(split_options_of(options).seed == ~std::uint64_t{0});
  options.split_seed = "0";
  options.fold = "2/5";
  options.validation_fraction = 0.1;
  const SplitOptions split = split_options_of(options);
  CHECK(split.seed == 0);
  CHECK(split.fold == 2);
  CHECK(split.folds == 5);
  CHECK(split.validation_fraction == 0.1);
  for (const char* wrong : {"-1", "x", "1.5", " 1", "18446744073709551616"}) {
    options.split_seed = wrong;
    CHECK_THROWS_WITH_AS(split_options_of(options), doctest::Contains("--split-seed"), Error);
  }
}
