// `predict` with study models: the numbers of train_study's own evaluation, where the slice models are looked
// for, and what is refused.
#include "apps/evaluate/aggregation.h"
#include "apps/predict/slice_rule_reader.h"
#include "apps/predict/study_model_reader.h"
#include "apps/predict/study_picture.h"
#include "apps/study/slice_model_search.h"
#include "data/csv.h"
#include "tests/predict_fixture.h"
#include "tests/study_fixture.h"

using namespace sagitta;
using namespace sagitta::testing;

namespace {

constexpr int kStudies = 12, kPlanes = 3, kSide = 24;
// Another order than a study's, and without patient_overall.
const std::vector<std::string> kSliceLabels{"C7", "C6", "C5", "C4", "C3", "C2", "C1"};

std::string study_name(int i) { return fmt::format("1.2.3.{:02}", i); }

std::vector<std::string> names(int first, int last) {
  std::vector<std::string> result;
  for (int i = first; i < last; ++i) result.push_back(study_name(i));
  return result;
}

apps::StudySplit split() { return {names(0, 6), names(6, 8), names(8, kStudies)}; }

// Half of the training studies is held out in each fold.
apps::StudySplit fold_split(int fold) {
  apps::StudySplit inside = split();
  inside.train = fold == 1 ? names(3, 6) : names(0, 3);
  for (const std::string& study : fold == 1 ? names(0, 3) : names(3, 6)) inside.test.push_back(study);
  return inside;
}

// Studies in RSNA's layout, their slices, two fold models and a study model over them, all in one folder.
struct StudyModelCase {
  StudyModelCase() {
    std::vector<data::StudyLabels> labels;
    for (int i = 0; i < kStudies; ++i) {
      write_volume(folder / "ct/train_images" / study_name(i), body(40 * i), 5);
      labels.push_back({.study = study_name(i), .overall = i % 2 == 0, .c = {}});
      labels.back().c[static_cast<std::size_t>(i % 7)] = i % 2 == 0;
    }
    data::write_train_csv(folder / "ct/train.csv", labels);
    cut_slices("slices", 12);
    for (int fold = 1; fold <= 2; ++fold)
      write_slice_model(runs(fmt::format("fold{}/best", fold)), static_cast<std::uint64_t>(fold),
                        fold_split(fold), kSide, kSliceLabels);
    train("study", {"fold1", "fold2"});
    options.choice.models = {runs("study/best")};
    options.studies = (folder / "ct").string();
    options.out = (folder / "out").string();
    options.reading.threads = 1;
    options.jobs = 2;
    options.device.device = "cpu";
  }
  void cut_slices(const std::string& name, double span_mm) const {
    apps::ResliceOptions cut;
    cut.data = folder / "ct";
    cut.out = folder / name;
    cut.planes = kPlanes;
    cut.span_mm = span_mm;
    cut.size = 40;
    cut.windows = apps::parse_windows("300/1500", apps::SliceChannels::grey);
    REQUIRE(apps::reslice(cut).usable() == kStudies);
  }
  void train(const std::string& run, const std::vector<std::string>& slice_models, int seed = 1,
             const std::string& slices = "slices") const {
    std::vector<std::string> arguments{"--data", (folder / slices).string(), "--out", runs(run),
                                       "--seed", std::to_string(seed)};
    for (const std::string& model : slice_models)
      arguments.insert(arguments.end(), {"--slice-model", runs(model + "/best")});
    for (const char* word : {"--epochs",
                             "3",
                             "--lr",
                             "0.02",
                             "--warmup",
                             "1",
                             "--hidden-size",
                             "8",
                             "--heads",
                             "2",
                             "--intermediate-size",
                             "12",
                             "--members",
                             "2",
                             "--bootstrap",
                             "0",
                             "--batch-size",
                             "4",
                             "--threads",
                             "1",
                             "--device",
                             "cpu",
                             "--quiet"})
      arguments.emplace_back(word);
    REQUIRE(run_train_study(arguments) == 0);
  }
  std::string runs(const std::string& name) const { return (folder / ("runs/" + name)).string(); }
  nlohmann::json predictions() const {
    return nlohmann::json::parse(read_bytes(fs::path(options.out) / "predictions.json"));
  }
  // Into a folder of its own.
  nlohmann::json predict_with(const std::vector<std::string>& models,
                              const std::vector<std::string>& slice_models = {}) {
    apps::PredictOptions changed = options;
    changed.choice.models = models;
    changed.choice.slice_models = slice_models;
    changed.wanted.picture = false;
    options.out = changed.out = (folder / fmt::format("out{}", ++outputs)).string();
    CHECK(apps::predict_studies(changed).predicted == kStudies);
    return predictions();
  }
  std::string error_with(const std::vector<std::string>& models,
                         const std::vector<std::string>& slice_models = {}) {
    apps::PredictOptions changed = options;
    changed.choice.models = models;
    changed.choice.slice_models = slice_models;
    changed.out = (folder / "refused").string();
    std::string message = "no error";
    try {
      apps::predict_studies(changed);
    } catch (const Error& error) {
      message = error.what();
    }
    CHECK(message.find('\n') == std::string::npos);
    CHECK_FALSE(fs::exists(changed.out));
    return message;
  }
  TempFolder folder;
  apps::PredictOptions options;
  int outputs = 0;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// One study as a batch would see it.
apps::StudyCut cut_one(const StudyModelCase& known, const apps::SliceSource& source) {
  data::Volume volume;
  return apps::cut_study({"study", known.folder / "ct/train_images" / study_name(9)},
                         apps::cut_options(source), volume);
}

std::unique_ptr<apps::StudyReader> rule_reader(const std::vector<std::string>& models) {
  return std::make_unique<apps::SliceRuleReader>(
      apps::Ensemble(models, cpu_backend(), DType::f32),
      apps::StudyAggregator(apps::AggregationRule::mean, kSliceLabels), apps::ReadingOptions());
}

}  // namespace

TEST_CASE("predict: a study model gives the numbers of train_study's evaluation") {
  StudyModelCase known;
  CHECK(apps::predict_studies(known.options).predicted == kStudies);
  const nlohmann::json ours = known.predictions();
  const data::CsvTable theirs = data::read_csv(known.runs("study/evaluation/patients.csv"));
  const data::CsvTable slices = data::read_csv(known.runs("study/evaluation/predictions.csv"));
  REQUIRE(theirs.rows.size() == 4);
  REQUIRE(slices.rows.size() == 4 * kPlanes);
  double least = 1, most = 0, from_mean = 0;
  for (std::size_t row = 0; row < 4; ++row) {
    const nlohmann::json& study = ours["studies"][8 + row];
    REQUIRE(study["study"] == theirs.rows[row][0]);
    CHECK(study["overall_was_derived"] == false);
    CHECK(fs::exists(fs::path(known.options.out) / study["picture"]));
    for (const char* label : data::kLabelNames) {
      CAPTURE(label);
      const std::string column = std::string(label) + "_probability";
      const double p = study["probabilities"][label];
      CHECK(p == doctest::Approx(theirs.number(row, theirs.column(column))).epsilon(1e-6));
      least = std::min(least, p);
      most = std::max(most, p);
      double mean = 0;
      for (std::size_t k = 0; k < kPlanes; ++k) {
        const double seen = study["slices"][k]["probabilities"][label];
        CHECK(seen == doctest::Approx(slices.number(row * kPlanes + k, slices.column(column))).epsilon(1e-6));
        mean += seen / kPlanes;
      }
      from_mean = std::max(from_mean, std::abs(p - mean));
    }
  }
  CHECK(most - least > 0.05);
  CHECK(from_mean > 0.01);  // it is no mean of the slices
  CHECK(ours["aggregator"]["rule"] == "study model");
  CHECK(ours["settings"]["aggregation"] == "study model");
  CHECK(ours["models"][0]["slice_models"][1]["directory"] == known.runs("fold2/best"));
  CHECK(data::read_csv(fs::path(known.options.out) / "submission.csv").rows.size() == kStudies * 8);
}

TEST_CASE("predict: several study models are the mean of their probabilities, each slice model asked once") {
  StudyModelCase known;
  write_slice_model(known.runs("alone/best"), 7, split(), kSide);
  known.train("other", {"fold1", "fold2"}, 2);
  known.train("single", {"alone"}, 3);
  const std::vector<std::string> models{known.runs("study/best"), known.runs("other/best"),
                                        known.runs("single/best")};
  const nlohmann::json together = known.predict_with(models);
  std::vector<nlohmann::json> single;
  for (const std::string& model : models) single.push_back(known.predict_with({model}));
  for (std::size_t i = 0; i < kStudies; ++i)
    for (const char* label : data::kLabelNames) {
      double mean = 0;
      for (const nlohmann::json& one : single)
        mean += one["studies"][i]["probabilities"][label].get<double>() / 3;
      CHECK(together["studies"][i]["probabilities"][label].get<double>() ==
            doctest::Approx(mean).epsilon(1e-5));
      // Two models over the folds, one over the third: every slice model counts once.
      const auto seen = [&](const nlohmann::json& of) {
        return of["studies"][i]["slices"][1]["probabilities"][label].template get<double>();
      };
      CHECK(seen(together) == doctest::Approx((2 * seen(single[0]) + seen(single[2])) / 3).epsilon(1e-5));
    }
  CHECK(std::abs(single[0]["studies"][9]["probabilities"]["C3"].get<double>() -
                 single[1]["studies"][9]["probabilities"]["C3"].get<double>()) > 1e-3);
}

TEST_CASE(
    "predict: the heat of a study model is that of its slice models, for the label that is asked about") {
  const StudyModelCase known;
  apps::StudyEnsemble ensemble({known.runs("study/best")}, {}, cpu_backend(), DType::f32);
  const apps::StudyCut cut = cut_one(known, ensemble.source());
  const apps::StudyPredictor ours(
      std::make_unique<apps::StudyModelReader>(std::move(ensemble), apps::FeatureOptions()));
  const apps::StudyPredictor theirs(rule_reader({known.runs("fold1/best"), known.runs("fold2/best")}));
  REQUIRE(ours.labels()[3] == "C3");
  REQUIRE(theirs.labels()[4] == "C3");
  CHECK(ours.heat(cut, 1, 3, 50) == theirs.heat(cut, 1, 4, 50));
  CHECK(ours.heat(cut, 1, 3, 50) != theirs.heat(cut, 1, 3, 50));
  // What is said of a slice, too, is the mean over them.
  const apps::StudyPrediction mine = ours.predict(cut), other = theirs.predict(cut);
  CHECK(mine.slice_logit(2, 3) == doctest::Approx(other.slice_logit(2, 4)).epsilon(1e-5));
}

TEST_CASE("predict: slices are cut as the study model's were, whatever its slice models were trained on") {
  StudyModelCase known;
  fs::copy_file(known.folder / "slices/settings.json", known.runs("fold1/best/slices.json"));
  const auto rewrite = [&](const std::string& model, const char* key, int value) {
    const fs::path file = known.runs(model + "/best/slices.json");
    auto json = nlohmann::ordered_json::parse(read_bytes(file));
    json[key] = value;
    write_bytes(file, json.dump());
  };
  rewrite("fold1", "span_mm", 44);
  const nlohmann::json ours = known.predict_with({known.runs("study/best")});
  CHECK(ours["settings"]["slices"]["span_mm"] == 12);
  CHECK(ours["settings"]["slices"]["size"] == 40);

  rewrite("study", "planes", 5);
  const std::string study = known.runs("study/best");
  CHECK(contains(known.error_with({study}), study + ": was trained on 3 slices of each study, but its "
                                                    "slices.json says 5; copy settings.json"));
  fs::remove(known.runs("study/best/slices.json"));
  CHECK(contains(known.error_with({study}), "but has no slices.json, without which 25 are cut"));

  known.cut_slices("wide", 20);
  known.train("wide", {"fold1", "fold2"}, 1, "wide");
  known.train("again", {"fold1", "fold2"});
  CHECK(contains(known.error_with({known.runs("again/best"), known.runs("wide/best")}),
                 "wide/best: was trained on slices cut otherwise"));
}

TEST_CASE("predict: slice models that were moved are found, or asked for") {
  StudyModelCase known;
  const std::string study = known.runs("study/best");
  const nlohmann::json before = known.predict_with({study});
  const auto same = [&](const nlohmann::json& now) { CHECK(now["studies"] == before["studies"]); };
  // All runs together go elsewhere, and another model takes the old place.
  fs::rename(known.folder / "runs", known.folder / "moved");
  const auto moved = [&](const std::string& name) { return (known.folder / ("moved/" + name)).string(); };
  const nlohmann::json nearby = known.predict_with({moved("study/best")});
  same(nearby);
  CHECK(nearby["models"][0]["slice_models"][0]["directory"] == moved("fold1/best"));
  write_slice_model(known.runs("fold1/best"), 9, split(), kSide);
  same(known.predict_with({moved("study/best")}));
  same(known.predict_with({fs::canonical(moved("study/best")).string()}));  // from a folder further down

  // The study model alone: each slice model is named, or there is an error that says so.
  fs::create_directories(known.folder / "alone");
  fs::copy(moved("study/best/"), known.folder / "alone/model", fs::copy_options::recursive);
  const std::string alone = (known.folder / "alone/model").string();
  fs::rename(moved("fold1"), moved("first"));
  same(known.predict_with({alone}, {moved("fold2/best"), moved("first/best")}));
  same(known.predict_with({moved("study/best")}, {moved("first/best")}));  // the other one is nearby
  const std::string replaced = known.error_with({alone}, {moved("fold2/best")});
  CHECK(contains(replaced, alone + ": in " + known.runs("fold1/best") + " is another model ("));
  CHECK(contains(replaced, "--slice-model DIR"));
  const std::string missing = known.error_with({alone}, {moved("first/best")});
  CHECK(contains(missing, alone + ": its slice model " + known.runs("fold2/best") + " ("));
  CHECK(contains(missing, "is missing; name where it is now with --slice-model DIR"));
  CHECK(contains(
      known.error_with({alone}, {known.runs("fold1/best")}),
      "--slice-model " + known.runs("fold1/best") + ": is none of the 2 slice models that " + alone));
  CHECK(contains(known.error_with({alone}, {moved("first/best"), moved("first/best/")}),
                 "is the same model as"));
  CHECK(contains(known.error_with({alone}, {moved("study/best")}), "is a study model"));
  CHECK(contains(known.error_with({alone}, {moved("nowhere")}), "nowhere: no such file"));
}

TEST_CASE("predict: what does not go with a study model is refused") {
  StudyModelCase known;
  const std::string study = known.runs("study/best"), slice = known.runs("fold1/best");
  CHECK(contains(known.error_with({study, slice}), slice + ": is no study model, but " + study + " is one"));
  CHECK(contains(known.error_with({slice, study}), study + ": is a study model, but " + slice + " is none"));
  CHECK(contains(known.error_with({slice}, {slice}), "--slice-model " + slice + ": is for study models"));
  known.options.choice.rule = "mean";
  CHECK(contains(known.error_with({study}), "--aggregate: " + study + " is a study model"));
  known.options.choice.rule.clear();
  known.options.choice.aggregator = "aggregator.json";
  CHECK(contains(known.error_with({study}), "--aggregator: " + study + " is a study model"));
  known.options.choice.aggregator.clear();
  known.options.reading.variants = 3;
  CHECK(contains(known.error_with({study}), "--tta 3: " + study + " is a study model"));
  // Elsewhere a study model is no model of slices.
  CHECK_THROWS_WITH_AS(models::read_model_config(study), doctest::Contains("is a study model"), Error);
}

TEST_CASE("predict: a study that the study model or one of its slice models was trained on is marked") {
  StudyModelCase known;
  apps::write_split(known.runs("fold2/best/split.json"), {{study_name(9)}, {}, {}});
  const nlohmann::json ours = known.predict_with({known.runs("study/best")});
  for (int i = 0; i < kStudies; ++i) {
    CAPTURE(i);
    CHECK(ours["studies"][static_cast<std::size_t>(i)]["trained_on"] == (i < 6 || i == 9));
  }
}

TEST_CASE("predict: a batch with a study model goes on, with the same files, also when slice models moved") {
  StudyModelCase known;
  known.options.wanted.secondary_capture = true;
  apps::predict_studies(known.options);
  const auto whole = files_in(known.options.out);
  const fs::path out = known.options.out;
  fs::remove(out / ("studies/" + study_name(4) + ".json"));
  fs::remove(out / ("pictures/" + study_name(7) + ".png"));
  CHECK(apps::predict_studies(known.options).reused == kStudies - 2);
  CHECK((files_in(out) == whole));
  fs::rename(known.runs("fold1"), known.runs("first"));
  known.options.choice.slice_models = {known.runs("first/best")};
  CHECK(apps::predict_studies(known.options).reused == kStudies);
  known.train("other", {"first", "fold2"}, 2);
  known.options.choice.models = {known.runs("other/best")};
  CHECK_THROWS_WITH_AS(apps::predict_studies(known.options), doctest::Contains("(models)"), Error);
}
