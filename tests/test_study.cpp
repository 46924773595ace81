// Study-level training, its parts: which studies and slice models belong together, what a batch holds, the
// loss, kept features, and the rules that aggregate slices. Whole runs are in test_train_study.cpp.
#include <doctest/doctest.h>

#include "apps/study/slice_baselines.h"
#include "apps/study/slice_labels.h"
#include "apps/study/study_parts.h"
#include "apps/study/study_predictions.h"
#include "apps/study/study_trainer.h"
#include "autograd/ops.h"
#include "data/rsna_metric.h"
#include "small_studies.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

using namespace sagitta;
using namespace sagitta::apps;
using namespace sagitta::testing;

namespace {

using Groups = std::vector<std::vector<std::string>>;

}  // namespace

TEST_CASE("study parts: one slice model brings its own split") {
  const StudyParts parts = study_parts({small_split()});
  CHECK(parts.split.train == names(0, 12));
  CHECK(parts.split.test == names(18, 24));
  CHECK(parts.training == Groups{names(0, 12)});
}

TEST_CASE("study parts: of fold models each speaks of the training studies that it held out") {
  const StudySplit first{names(4, 12), names(12, 18), [] {
                           auto test = names(0, 4);
                           for (const std::string& study : names(18, 24)) test.push_back(study);
                           return test;
                         }()};
  StudySplit second{names(0, 4), names(12, 18), names(4, 12)};
  for (const std::string& study : names(18, 24)) second.test.push_back(study);
  const StudyParts parts = study_parts({first, second});
  CHECK(parts.split.train == names(0, 12));
  CHECK(parts.split.validation == names(12, 18));
  CHECK(parts.split.test == names(18, 24));
  CHECK(parts.training == Groups{names(0, 4), names(4, 12)});

  CHECK(contains(error_of([&] { study_parts({first, first}); }), "was held out by none of the 2 models"));
  const StudySplit whole{names(0, 10), names(10, 12), names(12, 24)},
      other{names(12, 22), names(22, 24), names(0, 12)};
  CHECK(contains(error_of([&] {
                   study_parts({whole, other});
                 }),
                 "0 validation and 0 test studies in common"));
}

TEST_CASE("a fold inside a split takes training studies only, each once") {
  const TempFolder folder;
  write_slices(folder.path());
  const data::SliceSet slices = data::read_slice_set(folder.path());
  std::multiset<std::string> moved;
  std::vector<StudySplit> splits;
  for (int fold = 1; fold <= 3; ++fold) {
    const StudySplit split = hold_out_fold(slices, small_split(), {.fold = fold, .folds = 3, .seed = 2});
    CHECK(split.validation == small_split().validation);
    CHECK(split.train.size() == 8);
    CHECK(split.test.size() == 10);
    for (const std::string& study : small_split().test)
      CHECK(std::find(split.test.begin(), split.test.end(), study) != split.test.end());
    for (const std::string& study : small_split().train)
      if (std::find(split.test.begin(), split.test.end(), study) != split.test.end()) moved.insert(study);
    splits.push_back(split);
  }
  const std::vector<std::string> train = small_split().train;
  CHECK(moved == std::multiset<std::string>(train.begin(), train.end()));
  CHECK(study_parts(splits).split.test == small_split().test);
  StudySplit foreign = small_split();
  foreign.train.push_back("nobody");
  CHECK(contains(error_of([&] { hold_out_fold(slices, foreign, {.fold = 1, .folds = 3}); }),
                 "has 12 of the 13 training studies"));
}

TEST_CASE("the loss of a batch is the competition's") {
  const TempFolder folder;
  write_slices(folder.path());
  const data::SliceSet slices = data::read_slice_set(folder.path());
  const std::vector<SliceFeatures> features{made_up_features(slices.studies(), 0)};
  const StudyData data(slices, features);
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < data.rows().size(); ++i) rows.push_back(i);
  const StudyBatch batch = make_batch(data, rows, data.scaling(), cpu_backend());
  std::vector<float> logits;
  std::vector<data::ExamPrediction> exams(rows.size());
  for (std::size_t i = 0; i < rows.size() * 8; ++i) {
    logits.push_back(static_cast<float>(random::normal({5, 1, 0}, i)) * 3);
    exams[i / 8].truth[i % 8] = data.rows()[i / 8].labels[i % 8];
    exams[i / 8].probability[i % 8] = 1 / (1 + std::exp(-logits.back()));
  }
  const autograd::Variable x(from_host(cpu_backend(), {kStudies, 8}, logits));
  const double loss = scalar_of(autograd::bce_with_logits(x, batch.targets, {}, batch.weights).value());
  CHECK(loss == doctest::Approx(data::rsna_log_loss(exams)).epsilon(1e-6));
  // The weights matter: the plain mean is another number.
  CHECK(std::abs(scalar_of(autograd::bce_with_logits(x, batch.targets).value()) - loss) > 1e-3);
  Predictions table{.labels = 8, .logits = logits, .targets = to_host<float>(batch.targets)};
  CHECK(rsna_loss(table) == doctest::Approx(loss).epsilon(1e-6));
}

TEST_CASE(
    "a batch: standardized features in the block of their model, mean logits, changes by (seed, epoch)") {
  const TempFolder folder;
  write_slices(folder.path());
  const data::SliceSet slices = data::read_slice_set(folder.path());
  const std::vector<SliceFeatures> features{made_up_features(names(0, 8), 0),
                                            made_up_features(names(8, kStudies), 1000)};
  const StudyData data(slices, features);
  REQUIRE(data.rows().size() == kStudies);
  const FeatureScaling scaling = data.scaling();
  REQUIRE(scaling.mean.size() == 18);
  const std::vector<std::size_t> rows{0, 8};
  const StudyBatch batch = make_batch(data, rows, scaling, cpu_backend());
  CHECK(batch.features.shape() == Shape{2, kPlanes, 18});
  const std::vector<float> values = to_host<float>(batch.features);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool own_block = (i / 18 < kPlanes) == (i % 18 < 9);
    if (!own_block) CHECK(values[i] == 0);
  }
  const std::span<const float> first = features[1].embedding(0, 1, 0);
  CHECK(values[(1 * kPlanes + 1) * 18 + 9] == doctest::Approx((first[0] - scaling.mean[9]) / scaling.std[9]));
  const SliceLabels labels(features[0].labels);
  float mean = 0;
  for (int plane = 0; plane < kPlanes; ++plane)
    mean += labels.of_study(features[1].logits_of(0, plane, 0))[0] / kPlanes;
  CHECK(to_host<float>(batch.slice_logits)[8] == doctest::Approx(mean));

  const RowChanges changes{.plane_dropout = 0.5, .seed = 4, .epoch = 2};
  RowChanges next = changes;
  next.epoch = 3;
  const auto changed = [&](const RowChanges& how) {
    return to_host<float>(make_batch(data, rows, scaling, cpu_backend(), &how).features);
  };
  CHECK(changed(changes) == changed(changes));
  CHECK(changed(changes) != changed(next));
  CHECK(changed(changes) != values);
}

TEST_CASE(
    "a study's prediction is the mean of the logits over its slice models, standardized as in training") {
  const TempFolder folder;
  write_slices(folder.path());
  const data::SliceSet slices = data::read_slice_set(folder.path());
  const std::vector<SliceFeatures> features{made_up_features(slices.studies(), 0),
                                            made_up_features(names(4, 9), 100)};
  const StudyData data(slices, features);
  const FeatureScaling scaling = data.scaling();
  nn::Context context(cpu_backend());
  models::StudyModel model({.planes = kPlanes,
                            .embedding_width = 2,
                            .slice_labels = features[0].labels,
                            .slice_models = {{"a", "1"}, {"b", "2"}},
                            .labels = study_labels(),
                            .members = 2,
                            .hidden_size = 8,
                            .num_attention_heads = 2,
                            .intermediate_size = 12,
                            .hidden_dropout_prob = 0.5},
                           context);
  nn::initialize(model, 1);
  cpu_backend().write(scaling.mean.data(), model.feature_mean.value());
  cpu_backend().write(scaling.std.data(), model.feature_std.value());
  const Predictions predictions = study_predictions(model, context, data);
  CHECK(predictions.rows() == kStudies);
  CHECK(model.training());
  model.eval();
  const auto logits_of = [&](std::size_t row) {
    const StudyBatch batch = make_batch(data, {row}, scaling, cpu_backend());
    return to_host<float>(
        model(autograd::Variable(batch.features), autograd::Variable(batch.slice_logits)).value());
  };
  for (std::size_t study = 0; study < kStudies; ++study) {
    const bool by_both = study >= 4 && study < 9;
    const std::vector<float> first = logits_of(study),
                             second = by_both ? logits_of(kStudies + study - 4) : first;
    for (std::size_t j = 0; j < 8; ++j) {
      CHECK(predictions.logits[study * 8 + j] == doctest::Approx((first[j] + second[j]) / 2).epsilon(1e-4));
      CHECK(predictions.targets[study * 8 + j] == data.rows()[study].labels[j]);
      if (by_both) CHECK(first[j] != second[j]);
    }
  }
}

TEST_CASE("batches of an epoch hold every row once, in an order of their own") {
  std::set<std::size_t> seen;
  const auto batches = epoch_batches(10, 4, 1, 0);
  REQUIRE(batches.size() == 3);
  for (const auto& batch : batches) seen.insert(batch.begin(), batch.end());
  CHECK(seen.size() == 10);
  CHECK(batches.back().size() == 2);
  CHECK(epoch_batches(10, 4, 1, 0) == batches);
  CHECK(epoch_batches(10, 4, 1, 1) != batches);
}

TEST_CASE("slice labels: patient_overall of a slice is derived where the model lacks it") {
  const SliceLabels derived({"C1", "C2", "C3", "C4", "C5", "C6", "C7"});
  const std::vector<float> logits{0, 0, -30, -30, -30, -30, -30};
  const std::array<float, 8> of_study = derived.of_study(logits);
  CHECK(of_study[0] == doctest::Approx(std::log(3.0)));  // 1 - 1/4
  CHECK(of_study[2] == 0);
  const SliceLabels given({"C7", "C6", "C5", "C4", "C3", "C2", "C1", "patient_overall"});
  const std::vector<float> reversed{7, 6, 5, 4, 3, 2, 1, 9};
  CHECK(given.of_study(reversed) == std::array<float, 8>{9, 1, 2, 3, 4, 5, 6, 7});
  CHECK(contains(error_of([] { SliceLabels({"C1", "C2"}); }), "does not predict C3"));
}

TEST_CASE("features are computed once, and again where the file is damaged or the model another one") {
  const SmallFolder folder;
  const data::SliceSet slices = data::read_slice_set(folder / "slices");
  nn::Context context(cpu_backend());
  const SliceModel model = open_slice_model(folder / "slice", context);
  std::filesystem::create_directory(folder / "kept");
  int computed = 0;
  const auto features_of = [&](const SliceModel& of) {
    return slice_features(of, context, slices, {.variants = 2}, folder / "kept",
                          [&](std::int64_t done) { computed += done == kStudies * kPlanes; });
  };
  const SliceFeatures first = features_of(model);
  CHECK(computed == 1);
  CHECK(first.studies.size() == kStudies);
  CHECK(first.embeddings.size() == std::size_t{kStudies * kPlanes * 2 * 6});
  const SliceFeatures again = features_of(model);
  CHECK(computed == 1);
  CHECK(again.embeddings == first.embeddings);
  CHECK(again.logits == first.logits);
  // Logits are what the model says of the picture as it is; the embedding leads to them.
  const Predictions predictions = predict(*model.model, context, slices, model.input);
  for (std::size_t i = 0; i < 7; ++i)
    CHECK(first.logits_of(1, 2, 0)[i] == doctest::Approx(predictions.logits[5 * 7 + i]).epsilon(1e-5));
  for (const auto& file : std::filesystem::directory_iterator(folder / "kept"))
    std::filesystem::resize_file(file.path(), 2000);
  CHECK(features_of(model).embeddings == first.embeddings);
  CHECK(computed == 2);
  write_slice_model(folder / "other", 2, small_split(), kSide);
  CHECK(features_of(open_slice_model(folder / "other", context)).embeddings != first.embeddings);
  CHECK(computed == 3);
}

TEST_CASE("the rules that aggregate slices: each with its AUROC on validation, the learned one out of fold") {
  const TempFolder folder;
  write_slices(folder.path());
  const data::SliceSet slices = data::read_slice_set(folder.path());
  Predictions by_slice{.labels = 8, .logits = {}, .targets = {}};
  for (std::size_t i = 0; i < slices.records.size(); ++i)
    for (std::size_t j = 0; j < 8; ++j) {
      // Only the highest slice of a study tells; the others are noise of the other sign.
      const bool positive = slices.records[i].labels[j] > 0, tells = i % kPlanes == (i / kPlanes) % kPlanes;
      const double noise = random::normal({9, static_cast<std::uint32_t>(j), 0}, i);
      by_slice.logits.push_back(static_cast<float>(tells && positive ? 6 + noise / 8 : -3 - std::abs(noise)));
      by_slice.targets.push_back(positive);
    }
  const std::vector<SliceBaseline> baselines = slice_baselines(slices, by_slice);
  REQUIRE(baselines.size() == 4);
  CHECK(baselines[3].aggregator.rule() == AggregationRule::learned);
  CHECK(baselines[1].validation_auroc == 1);
  CHECK(best_baseline(baselines) != 3);
  for (const SliceBaseline& baseline : baselines) CHECK(baseline.validation_auroc > 0.8);
}
