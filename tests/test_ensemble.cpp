// Several models and several views of a slice: their mean probability, and what they must agree on.
#include "apps/evaluate/ensemble.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "apps/evaluate/scores.h"
#include "apps/evaluate/test_time.h"
#include "models/hugging_face.h"
#include "tensor/error.h"
#include "trainer_fixture.h"

using namespace sagitta;
using namespace sagitta::apps;
using sagitta::testing::TempFolder;

namespace {

// A model directory with random weights; `size` and `mean` are its preprocessor's.
std::string write_model(const TempFolder& folder, const std::string& name, std::uint64_t seed, int size,
                        double mean, const std::vector<std::string>& labels = {"C1", "C2"}) {
  models::ModelConfig config = testing::small_vit();
  config.image_size = size;
  config.labels = labels;
  nn::Context context(cpu_backend());
  const auto model = models::make_classifier(config, context);
  nn::initialize(*model, seed);
  models::Preprocessor preprocessor = testing::preprocessor();
  preprocessor.size = size;
  preprocessor.mean = {mean, mean, mean};
  std::filesystem::create_directories(folder / name);
  models::export_model(*model, preprocessor, folder / name);
  return (folder / name).string();
}

std::vector<float> probabilities(const std::vector<std::string>& models, const data::SliceSet& slices,
                                 std::size_t variants = 1, std::int64_t batch_size = 4) {
  const Ensemble ensemble(models, cpu_backend(), DType::f32);
  std::int64_t done = 0;
  const Predictions predictions =
      ensemble.predict(slices, {.batch_size = batch_size, .threads = 2, .variants = variants},
                       [&](std::int64_t count) { done = count; });
  CHECK(done == static_cast<std::int64_t>(slices.records.size() * ensemble.passes()));
  CHECK(predictions.rows() == slices.records.size());
  return predictions.probabilities();
}

void check_equal(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-5));
}

}  // namespace

TEST_CASE("an ensemble predicts the mean probability, whatever the input sizes and normalizations") {
  const TempFolder folder;
  const data::SliceSet slices = testing::make_data(folder, 9).train;
  const std::string a = write_model(folder, "a", 1, 16, 0.5), b = write_model(folder, "b", 2, 16, 0.2),
                    c = write_model(folder, "c", 3, 24, 0.5);
  const std::vector<float> of_a = probabilities({a}, slices), of_b = probabilities({b}, slices),
                           of_c = probabilities({c}, slices);
  std::vector<float> mean;
  for (std::size_t i = 0; i < of_a.size(); ++i) mean.push_back((of_a[i] + of_b[i] + of_c[i]) / 3);
  CHECK(of_a != of_b);
  check_equal(probabilities({a, c, b}, slices), mean);
  check_equal(probabilities({a, a}, slices), of_a);
  CHECK(Ensemble({a, c, b}, cpu_backend(), DType::f32).passes() == 2);
}

TEST_CASE("members of an ensemble have the same labels") {
  const TempFolder folder;
  const std::string a = write_model(folder, "a", 1, 16, 0.5),
                    b = write_model(folder, "b", 2, 16, 0.5, {"C2", "C1"});
  CHECK_THROWS_WITH_AS(Ensemble({a, b}, cpu_backend(), DType::f32), doctest::Contains("b: its labels differ"),
                       Error);
}

TEST_CASE("test-time augmentation is the mean over its variants, and one variant is none") {
  const TempFolder folder;
  const data::SliceSet slices = testing::make_data(folder, 9).train;
  const std::string model = write_model(folder, "a", 1, 16, 0.5);
  const std::vector<data::Augmentation> variants = test_time_variants(5);
  // By hand: each variant by itself through the loader.
  nn::Context context(cpu_backend());
  const auto loaded = models::import_model(model, context);
  InputOptions input = input_options(loaded->config(), testing::preprocessor());
  std::vector<float> mean;
  for (const data::Augmentation& variant : variants) {
    input.loader.variants = {variant};
    const std::vector<float> one = predict(*loaded, context, slices, input).probabilities();
    mean.resize(one.size());
    for (std::size_t i = 0; i < one.size(); ++i) mean[i] += one[i] / 5;
  }
  check_equal(probabilities({model}, slices, 5, 4), mean);
  check_equal(probabilities({model}, slices, 5, 64), mean);
  CHECK(probabilities({model}, slices, 5) != probabilities({model}, slices, 1));
  input.loader.variants = {};
  check_equal(probabilities({model}, slices, 1), predict(*loaded, context, slices, input).probabilities());
}

TEST_CASE("variants begin with the slice itself and come in opposite pairs") {
  CHECK_THROWS_WITH_AS(test_time_variants(0), doctest::Contains("--tta"), Error);
  CHECK_THROWS_AS(test_time_variants(kMostTestTimeVariants + 1), Error);
  for (std::size_t count = 1; count <= kMostTestTimeVariants; count += 2) {
    double angle = 0, zoom = 0, shift = 0;
    const auto variants = test_time_variants(count);
    REQUIRE(variants.size() == count);
    CHECK((variants[0].angle == 0 && variants[0].zoom == 1 && variants[0].shift_x == 0));
    for (const data::Augmentation& variant : variants) {
      angle += variant.angle, zoom += variant.zoom - 1, shift += variant.shift_x + variant.shift_y;
      CHECK_FALSE(variant.flip);  // front and back of a neck are not alike
    }
    CHECK(std::abs(angle) + std::abs(zoom) + std::abs(shift) < 1e-12);
  }
}

TEST_CASE("parts are scored by their own models and put in their places") {
  const TempFolder folder;
  const data::SliceSet slices = testing::make_data(folder, 9).train;  // studies 0 to 5 of one slice
  const std::string a = write_model(folder, "a", 1, 16, 0.5), b = write_model(folder, "b", 2, 16, 0.5);
  const std::vector<EvaluationPart> parts{{.models = {b}, .studies = {"1", "4"}, .fitting = {"0"}},
                                          {.models = {a}, .studies = {"0", "2", "5"}, .fitting = {}}};
  ScoringOptions options;
  const Scores scores = score_parts(slices, parts, cpu_backend(), DType::f32, options);
  const std::vector<float> of_a = probabilities({a}, slices), of_b = probabilities({b}, slices);
  CHECK(scores.slices.studies() == std::vector<std::string>{"0", "1", "2", "4", "5"});
  const std::size_t expected[] = {0, 1, 2, 4, 5};
  const std::vector<float> by_study = scores.by_study.probabilities();
  for (std::size_t row = 0; row < 5; ++row) {
    const std::size_t study = expected[row];
    const std::vector<float>& of = study == 1 || study == 4 ? of_b : of_a;
    for (std::size_t label = 0; label < 2; ++label) {
      CHECK(by_study[2 * row + label] == doctest::Approx(of[2 * study + label]).epsilon(1e-5));
      CHECK(scores.by_slice.targets[2 * row + label] == slices.records[study].labels[label + 1]);
    }
  }
  options.rule = AggregationRule::learned;
  CHECK_THROWS_WITH_AS(score_parts(slices, parts, cpu_backend(), DType::f32, options),
                       doctest::Contains(("no validation study of " + a).c_str()), Error);
  const std::vector<EvaluationPart> seen{{.models = {a}, .studies = {"0", "1"}, .fitting = {"1"}}};
  CHECK_THROWS_WITH_AS(score_parts(slices, seen, cpu_backend(), DType::f32, options),
                       doctest::Contains("validation studies, which are evaluated"), Error);
  // A rule from a file is not judged on what it was fitted to, either.
  std::vector<float> logits(12, 0.5F), targets(12, 0);
  logits[0] = targets[0] = targets[4] = 1;
  StudyAggregator::fit(slices, {.labels = 2, .logits = logits, .targets = targets}, {"C1", "C2"})
      .save(folder / "aggregator.json");
  options.aggregator = (folder / "aggregator.json").string();
  CHECK_THROWS_WITH_AS(score_parts(slices, parts, cpu_backend(), DType::f32, options),
                       doctest::Contains("fitted to study 1, which is evaluated"), Error);
}
