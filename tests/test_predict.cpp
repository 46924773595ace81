// The program `predict`: the numbers of `evaluate`, the right series out of a mixed folder, refusals, and
// what an interrupted batch leaves.
#include "apps/engine/slices.h"
#include "apps/evaluate/evaluate_app.h"
#include "apps/predict/study_list.h"
#include "data/csv.h"
#include "tests/predict_fixture.h"

using namespace sagitta;
using namespace sagitta::testing;

TEST_CASE("predict: the numbers of evaluate, slice for slice and study for study") {
  KnownCase known;
  known.options.choice.models.push_back((known.folder / "surer").string());
  known.options.reading.variants = 3;
  for (const std::string rule : {"mean", "max", "noisy-or"}) {
    CAPTURE(rule);
    apps::EvaluateOptions evaluation;
    evaluation.models = known.options.choice.models;
    evaluation.data = (known.folder / "slices").string();
    evaluation.out = (known.folder / ("evaluation-" + rule)).string();
    evaluation.split = "all";
    evaluation.rule = rule;
    evaluation.device = known.options.device;
    evaluation.scoring.reading = known.options.reading;
    evaluation.statistics.bootstrap.replicates = 0;
    apps::run_evaluate(evaluation);
    known.options.choice.rule = rule;
    known.options.out = (known.folder / rule).string();
    const apps::PredictSummary summary = apps::predict_studies(known.options);
    CHECK(summary.predicted == 3);
    CHECK(summary.refused == 0);

    const data::CsvTable ours = data::read_csv(known.folder / (rule + "/predictions.csv"));
    const data::CsvTable theirs = data::read_csv(known.folder / ("evaluation-" + rule + "/patients.csv"));
    REQUIRE(ours.rows.size() == 3);
    double least = 1, most = 0;
    for (std::size_t row = 0; row < 3; ++row) {
      CHECK(ours.rows[row][0] == theirs.rows[row][0]);
      double none = 1;
      for (const std::string label : {"C2", "C5"}) {
        const double p = ours.number(row, ours.column(label));
        CHECK(p == doctest::Approx(theirs.number(row, theirs.column(label + "_probability"))).epsilon(1e-6));
        none *= 1 - p;
        least = std::min(least, p);
        most = std::max(most, p);
      }
      CHECK(ours.number(row, ours.column("patient_overall")) == doctest::Approx(1 - none).epsilon(1e-9));
      CHECK(ours.rows[row][ours.column("C1")].empty());
    }
    CHECK(most - least > 0.1);  // the studies are told apart
    const data::CsvTable slices = data::read_csv(known.folder / ("evaluation-" + rule + "/predictions.csv"));
    const auto json = nlohmann::json::parse(read_bytes(known.folder / (rule + "/predictions.json")));
    REQUIRE(slices.rows.size() == 9);
    for (std::size_t i = 0; i < 9; ++i) {
      const nlohmann::json& slice = json["studies"][i / 3]["slices"][i % 3];
      CHECK(slice["x_mm"].get<double>() == doctest::Approx(slices.number(i, slices.column("x_mm"))));
      CHECK(slice["probabilities"]["C5"].get<double>() ==
            doctest::Approx(slices.number(i, slices.column("C5_probability"))).epsilon(1e-6));
    }
  }
}

TEST_CASE("predict: slices are cut as those that the models were trained on") {
  const KnownCase known;
  const fs::path model = known.folder / "model", surer = known.folder / "surer";
  const auto rewrite = [&](const fs::path& of, const auto& change) {
    auto json = nlohmann::ordered_json::parse(read_bytes(known.folder / "slices/settings.json"));
    change(json);
    write_bytes(of / "slices.json", json.dump());
  };
  const auto source = [&] { return apps::source_for_models({model.string(), surer.string()}); };
  CHECK(source().size == 80);  // not 64, the size of the first one's input
  CHECK(source().slices == 3);
  CHECK(source().window == "300/1500");
  rewrite(surer, [](auto& json) { json["size"] = 96; });
  CHECK(source().size == 96);
  for (const char* key : {"planes", "span_mm", "channels"}) {
    rewrite(surer, [&](auto& json) {
      if (std::string(key) == "channels")
        json[key] = "neighbors";
      else
        json[key] = 5;
    });
    CAPTURE(key);
    CHECK_THROWS_WITH_AS(source(), doctest::Contains("surer: was trained on slices cut otherwise"), Error);
    CHECK_NOTHROW(apps::source_for_models({model.string(), surer.string()}, false));
  }
  rewrite(surer, [](auto& json) { json["size"] = 0; });
  CHECK_THROWS_WITH_AS(source(), doctest::Contains("cut otherwise"), Error);
  // All of it survives the way to reslice's own options, the kind of window included.
  for (const fs::path& of : {model, surer})
    rewrite(of, [](auto& json) {
      json["size"] = 0;
      json["spacing_mm"] = 1.25;
      json["windows"][0]["function"] = "linear_exact";
    });
  const apps::CutOptions cut = apps::cut_options(source());
  CHECK(cut.size == 0);
  CHECK(cut.spacing_mm == 1.25);
  CHECK(cut.windows.front().function == data::WindowFunction::linear_exact);
  CHECK(apps::settings_json(cut) == nlohmann::ordered_json::parse(read_bytes(model / "slices.json")));
  // A model that does not say gets the usual ones.
  fs::remove(model / "slices.json");
  CHECK(apps::source_for_models({model.string()}).size == 64);
  CHECK(apps::source_for_models({model.string()}).slices == 25);
}

TEST_CASE("predict: a model's own aggregator is used, another model's labels are refused") {
  KnownCase known;
  const apps::StudyAggregator own(apps::AggregationRule::max, {"C2", "C5"});
  own.save(known.folder / "model/aggregator.json");
  apps::predict_studies(known.options);
  const auto with_own = known.study("1.2.3.1")["probabilities"];
  CHECK(nlohmann::json::parse(known.text("predictions.json"))["aggregator"]["rule"] == "max");
  known.options.out = (known.folder / "named").string();
  known.options.choice.aggregator = (known.folder / "model/aggregator.json").string();
  apps::predict_studies(known.options);
  CHECK(data::read_csv(known.folder / "named/predictions.csv").rows ==
        data::read_csv(known.folder / "out/predictions.csv").rows);
  apps::StudyAggregator(apps::AggregationRule::max, {"C2", "C6"}).save(known.folder / "other.json");
  known.options.choice.aggregator = (known.folder / "other.json").string();
  CHECK_THROWS_WITH_AS(apps::predict_studies(known.options), doctest::Contains("C2, C6"), Error);
  // One that suits each of two models suits neither's ensemble.
  known.options.choice.aggregator.clear();
  known.options.choice.models.push_back(known.options.choice.models.front());
  known.options.out = (known.folder / "two").string();
  apps::predict_studies(known.options);
  const auto two = nlohmann::json::parse(read_bytes(known.folder / "two/predictions.json"));
  CHECK(two["aggregator"]["rule"] == "mean");
}

TEST_CASE("predict: the axial series out of a folder as an archive exports it") {
  KnownCase known;
  apps::predict_studies(known.options);
  const nlohmann::json alone = known.study("1.2.3.1");

  // Beside it a scout, a thinner series of another body, a text and a report; all in subfolders.
  const fs::path mixed = known.folder / "mixed/1.2.3.1";
  fs::create_directories(mixed / "SCOUT");
  fs::copy(known.images("1.2.3.1"), mixed / "SE1");
  data::Volume other = body(1200);
  other.slices = 12;
  for (int z = 0; z < other.slices; ++z) {
    data::CtSliceFile file = slice_file(other, z);
    file.series_uid += "7";
    file.sop_uid = fmt::format("{}.{}", file.series_uid, z);
    fs::create_directories(mixed / "SE2");
    data::write_ct_slice(mixed / fmt::format("SE2/IM{}", z), file, data::TransferSyntax::explicit_little);
  }
  for (int view = 0; view < 2; ++view) {
    data::CtSliceFile scout = slice_file(other, view);
    scout.image_type = "ORIGINAL\\PRIMARY\\LOCALIZER";
    scout.series_uid += "9";
    scout.sop_uid = fmt::format("{}.{}", scout.series_uid, view);
    scout.column_direction = {0, 0, -1};
    data::write_ct_slice(mixed / fmt::format("SCOUT/{}", view), scout, data::TransferSyntax::explicit_little);
  }
  write_bytes(mixed / "report.txt", "the report, which says who it is about");
  data::write_secondary_capture(mixed / "IMAGE", mixed / "SE1/1.dcm", small_capture("test", 0));

  known.options.studies.clear();
  known.options.study = mixed.string();
  known.options.out = (known.folder / "out2").string();
  CHECK(apps::predict_studies(known.options).predicted == 1);
  const auto found = nlohmann::json::parse(read_bytes(known.folder / "out2/studies/1.2.3.1.json"));
  CHECK(found["series"]["ct_slices"] == kBodySlices);
  CHECK(found["slices"] == alone["slices"]);
  const std::string reasons = found["reasons"].dump();
  CHECK(reasons.find("2 localizer image(s) left out") != std::string::npos);
  CHECK(reasons.find("12 axial image(s) of other series left out") != std::string::npos);
  CHECK(reasons.find("1 DICOM file(s) of other kinds left out") != std::string::npos);
}

TEST_CASE("predict: what cannot be used is refused by name and does not stop the others") {
  KnownCase known;
  for (int n = 1; n <= 20; ++n) fs::remove(known.images("1.2.3.2") / fmt::format("{}.dcm", n));
  fs::create_directories(known.images("empty"));
  fs::create_directories(known.images("name with spaces"));
  const apps::PredictSummary summary = apps::predict_studies(known.options);
  CHECK(summary.predicted == 2);
  CHECK(summary.refused == 3);
  const nlohmann::json few = known.study("1.2.3.2"), empty = known.study("empty");
  CHECK(few["verdict"] == "refused");
  CHECK(few["reasons"][0] == "only 4 axial slice(s), at least 10 are needed");
  CHECK(few["series"]["ct_slices"] == 4);
  CHECK(empty["reasons"][0] == "no axial CT images");
  CHECK_FALSE(few.contains("probabilities"));
  const auto all = nlohmann::json::parse(known.text("predictions.json"));
  REQUIRE(all["studies"].size() == 5);
  CHECK(all["studies"][4]["study"] == "name with spaces");
  CHECK(all["studies"][4]["reasons"][0].get<std::string>().find("rename it") != std::string::npos);

  // 2 x 3 rows with a prediction; with --fill all 5 x 8.
  const data::CsvTable sparse = data::read_csv(known.folder / "out/submission.csv");
  CHECK(sparse.header == std::vector<std::string>{"row_id", "fractured"});
  REQUIRE(sparse.rows.size() == 6);
  CHECK(sparse.rows[0][0] == "1.2.3.1_C2");
  CHECK(sparse.rows[2][0] == "1.2.3.1_patient_overall");
  CHECK(sparse.number(0, 1) == known.study("1.2.3.1")["probabilities"]["C2"].get<double>());
  known.options.fill = {0.5, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8};
  CHECK(apps::predict_studies(known.options).reused == 2);
  const data::CsvTable filled = data::read_csv(known.folder / "out/submission.csv");
  REQUIRE(filled.rows.size() == 40);
  CHECK(filled.rows[8][0] == "1.2.3.2_C1");
  CHECK(filled.number(8, 1) == 0.1);
  CHECK(filled.rows[15][0] == "1.2.3.2_patient_overall");
  CHECK(filled.number(15, 1) == 0.5);
  known.options.fill = {0.1, 0.2};
  CHECK_THROWS_WITH_AS(apps::predict_studies(known.options), doctest::Contains("--fill has 2"), Error);
}

TEST_CASE("predict: an interrupted batch goes on, with the same files; other settings do not mix") {
  KnownCase known;
  known.options.wanted.secondary_capture = true;
  apps::predict_studies(known.options);
  const auto whole = files_in(known.options.out);
  CHECK(whole.size() == 3 * 3 + 4);
  const fs::path out = known.options.out;
  // As after a kill in the second study: no JSON yet, half a picture; and the tables were not written.
  fs::remove(out / "studies/1.2.3.2.json");
  write_bytes(out / "pictures/1.2.3.2.png", "half");
  write_bytes(out / "studies/1.2.3.3.json", whole.at("studies/1.2.3.3.json").substr(0, 400));
  for (const char* table : {"predictions.json", "predictions.csv", "submission.csv"}) fs::remove(out / table);
  const apps::PredictSummary summary = apps::predict_studies(known.options);
  CHECK(summary.reused == 1);
  CHECK(summary.predicted == 3);
  CHECK((files_in(out) == whole));
  for (const std::string damaged : {"", "[1]", "{\"study\": 7}", "{\"study\": \"1.2.3.3\"}"}) {
    write_bytes(out / "studies/1.2.3.3.json", damaged);
    CAPTURE(damaged);
    CHECK(apps::predict_studies(known.options).reused == 2);
    CHECK((files_in(out) == whole));
  }
  // A picture that is lost is made again.
  fs::remove(out / "pictures/1.2.3.1.png");
  CHECK(apps::predict_studies(known.options).reused == 2);
  CHECK((files_in(out) == whole));

  const auto refused = [&](const std::string& words, const auto& change) {
    apps::PredictOptions options = known.options;
    change(options);
    CAPTURE(words);
    CHECK_THROWS_WITH_AS(apps::predict_studies(options), doctest::Contains(words.c_str()), Error);
    CHECK((files_in(out) == whole));
  };
  refused("(tta)", [](auto& o) { o.reading.variants = 2; });
  refused("(aggregation, aggregator)", [](auto& o) { o.choice.rule = "max"; });
  refused("(models)", [&](auto& o) { o.choice.models = {(known.folder / "surer").string()}; });
  // The same model from another place is the same model.
  fs::rename(known.folder / "model", known.folder / "moved");
  known.options.choice.models = {(known.folder / "moved").string()};
  CHECK(apps::predict_studies(known.options).reused == 3);
  // A study that can no longer be trusted loses what an earlier run said about it.
  for (int n = 1; n <= 20; ++n) fs::remove(known.images("1.2.3.2") / fmt::format("{}.dcm", n));
  fs::remove(out / "studies/1.2.3.2.json");
  CHECK(apps::predict_studies(known.options).refused == 1);
  CHECK_FALSE(fs::exists(out / "pictures/1.2.3.2.png"));
  CHECK_FALSE(fs::exists(out / "secondary-captures/1.2.3.2.dcm"));
}

TEST_CASE("predict: studies that a model was trained on are marked") {
  KnownCase known;
  write_bytes(known.folder / "model/split.json",
              R"({"train": ["1.2.3.3"], "validation": ["1.2.3.2"], "test": ["1.2.3.1"]})");
  apps::predict_studies(known.options);
  CHECK(known.study("1.2.3.3")["trained_on"] == true);
  CHECK(known.study("1.2.3.1")["trained_on"] == false);
}

TEST_CASE("predict: folders that hold studies") {
  TempFolder folder;
  fs::create_directories(folder / "set/b/deep");
  fs::create_directories(folder / "set/a");
  fs::create_directories(folder / "set/.cache");
  write_bytes(folder / "set/notes.txt", "text");
  const auto studies = apps::studies_in(folder / "set");
  REQUIRE(studies.size() == 2);
  CHECK(studies[0].name == "a");
  CHECK(studies[1].name == "b");
  CHECK(apps::study_in(folder / "set/b/../a/.").name == "a");
  fs::create_directories(folder / "rsna/test_images/1.2");
  CHECK(apps::studies_in(folder / "rsna").front().name == "1.2");
  fs::create_directories(folder / "rsna/train_images/1.3");
  CHECK_THROWS_WITH_AS(apps::studies_in(folder / "rsna"), doctest::Contains("test_images"), Error);
  CHECK_THROWS_WITH_AS(apps::studies_in(folder / "set/a"), doctest::Contains("no subfolders"), Error);
  CHECK_THROWS_WITH_AS(apps::studies_in(folder / "none"), doctest::Contains("not a folder"), Error);
  write_volume(folder / "one", body(0));
  CHECK_THROWS_WITH_AS(apps::studies_in(folder / "one"), doctest::Contains("--study"), Error);
  CHECK_FALSE(apps::naming_problem("..").empty());
  CHECK(apps::naming_problem("1.2.826.0.1.3680043.1").empty());
}
