// The program `predict`, with CT and models whose answers are known: the numbers of `evaluate`, the right
// series out of a mixed folder, refusals, what an interrupted batch leaves, pictures, tables.
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/engine/slices.h"
#include "apps/evaluate/evaluate_app.h"
#include "apps/predict/plane_axes.h"
#include "apps/predict/predict_app.h"
#include "apps/predict/study_list.h"
#include "apps/predict/study_picture.h"
#include "apps/predict/study_predictor.h"
#include "apps/reslice/reslice.h"
#include "data/csv.h"
#include "data/dicom_secondary_capture.h"
#include "data/fingerprint.h"
#include "data/rsna_csv.h"
#include "models/hugging_face.h"
#include "tests/brightness_model.h"
#include "tests/real_head.h"

using namespace sagitta;
using testing::TempFolder;

namespace {

namespace fs = std::filesystem;

constexpr int kSlices = 24, kSide = 40;
constexpr double kPixel = 3, kStep = 3;

// A cylinder of soft tissue, as bright as asked, with a block of bone.
data::Volume body(int hu, int block_column = 18) {
  data::Volume volume = testing::make_volume(kSlices, kSide, kSide, kPixel, kStep);
  for (int z = 0; z < kSlices; ++z)
    for (int row = 0; row < kSide; ++row)
      for (int column = 0; column < kSide; ++column) {
        const bool inside = std::hypot(row - 19.5, column - 19.5) < 17;
        const bool block =
            z >= 8 && z < 16 && row >= 22 && row < 28 && column >= block_column && column < block_column + 5;
        volume.hu[(static_cast<std::size_t>(z) * kSide + static_cast<std::size_t>(row)) * kSide +
                  static_cast<std::size_t>(column)] = static_cast<std::int16_t>(block    ? 1800
                                                                                : inside ? hu
                                                                                         : -1000);
      }
  return volume;
}

void write_json(const fs::path& file, const nlohmann::json& json) { testing::write_bytes(file, json.dump()); }

// Three studies in RSNA's layout, their slices, and two models beside them: one for bright and dark pictures,
// one that is twice as sure and sees fewer pixels.
struct KnownCase {
  explicit KnownCase(const std::vector<std::string>& names = {"C2", "C5"}) {
    std::vector<data::StudyLabels> labels;
    int hu = 0;
    for (const std::string study : {"1.2.3.1", "1.2.3.2", "1.2.3.3"}) {
      testing::write_volume(folder / "ct/train_images" / study, body(hu += 150), 5);
      labels.push_back({.study = study, .overall = labels.empty(), .c = {}});
      labels.back().c[1] = labels.back().overall;
    }
    data::write_train_csv(folder / "ct/train.csv", labels);
    apps::ResliceOptions cut;
    cut.data = folder / "ct";
    cut.out = folder / "slices";
    cut.planes = 3;
    cut.span_mm = 12;
    cut.size = 80;
    cut.windows = apps::parse_windows("300/1500", apps::SliceChannels::grey);
    REQUIRE(apps::reslice(cut).usable() == 3);
    testing::BrightnessModel model(names);
    export_model(model, 64, "model");
    model.model.classifier.weight.assign({2, 0, 0, 0, -2, 0, 0, 0});
    export_model(model, 48, "surer");
    options.models = {(folder / "model").string()};
    options.studies = (folder / "ct").string();
    options.out = (folder / "out").string();
    options.reading.threads = 1;
    options.jobs = 2;
    options.device.device = "cpu";
  }
  void export_model(const testing::BrightnessModel& model, int size, const std::string& name) const {
    models::export_model(model.model,
                         {.kind = models::Preprocessor::Kind::convnext, .size = size, .crop_pct = 1},
                         folder / name);
    fs::copy_file(folder / "slices/settings.json", folder / (name + "/slices.json"));
  }
  fs::path images(const std::string& study) const { return folder / "ct/train_images" / study; }
  std::string text(const std::string& file) const { return testing::read_bytes(folder / ("out/" + file)); }
  nlohmann::json study(const std::string& name) const {
    return nlohmann::json::parse(text("studies/" + name + ".json"));
  }
  TempFolder folder;
  apps::PredictOptions options;
};

// Path and content of every file.
std::map<std::string, std::string> files_in(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      files[fs::relative(entry.path(), folder)] = testing::read_bytes(entry.path());
  return files;
}

// A capture of a few pixels.
data::SecondaryCapture small_capture(const std::string& identity, std::uint8_t grey) {
  data::SecondaryCapture capture;
  capture.picture.width = 3;
  capture.picture.height = 1;
  capture.picture.channels = 3;
  capture.picture.pixels.assign(9, grey);
  capture.identity = identity;
  capture.series_description = capture.derivation = "a test";
  capture.software_version = "1";
  return capture;
}

std::string tag(DcmDataset& dataset, const DcmTagKey& key) {
  OFString value;
  REQUIRE(dataset.findAndGetOFStringArray(key, value).good());
  return {value.c_str(), value.size()};
}

}  // namespace

TEST_CASE("predict: the numbers of evaluate, slice for slice and study for study") {
  KnownCase known;
  known.options.models.push_back((known.folder / "surer").string());
  known.options.reading.variants = 3;
  for (const std::string rule : {"mean", "max", "noisy-or"}) {
    CAPTURE(rule);
    apps::EvaluateOptions evaluation;
    evaluation.models = known.options.models;
    evaluation.data = (known.folder / "slices").string();
    evaluation.out = (known.folder / ("evaluation-" + rule)).string();
    evaluation.split = "all";
    evaluation.rule = rule;
    evaluation.device = known.options.device;
    evaluation.scoring.reading = known.options.reading;
    evaluation.statistics.bootstrap.replicates = 0;
    apps::run_evaluate(evaluation);
    known.options.rule = rule;
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
    const auto json = nlohmann::json::parse(testing::read_bytes(known.folder / (rule + "/predictions.json")));
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
    auto json = nlohmann::ordered_json::parse(testing::read_bytes(known.folder / "slices/settings.json"));
    change(json);
    testing::write_bytes(of / "slices.json", json.dump());
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
  CHECK(apps::settings_json(cut) ==
        nlohmann::ordered_json::parse(testing::read_bytes(model / "slices.json")));
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
  known.options.aggregator = (known.folder / "model/aggregator.json").string();
  apps::predict_studies(known.options);
  CHECK(data::read_csv(known.folder / "named/predictions.csv").rows ==
        data::read_csv(known.folder / "out/predictions.csv").rows);
  apps::StudyAggregator(apps::AggregationRule::max, {"C2", "C6"}).save(known.folder / "other.json");
  known.options.aggregator = (known.folder / "other.json").string();
  CHECK_THROWS_WITH_AS(apps::predict_studies(known.options), doctest::Contains("C2, C6"), Error);
  // One that suits each of two models suits neither's ensemble.
  known.options.aggregator.clear();
  known.options.models.push_back(known.options.models.front());
  known.options.out = (known.folder / "two").string();
  apps::predict_studies(known.options);
  const auto two = nlohmann::json::parse(testing::read_bytes(known.folder / "two/predictions.json"));
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
    data::CtSliceFile file = testing::slice_file(other, z);
    file.series_uid += "7";
    file.sop_uid = fmt::format("{}.{}", file.series_uid, z);
    fs::create_directories(mixed / "SE2");
    data::write_ct_slice(mixed / fmt::format("SE2/IM{}", z), file, data::TransferSyntax::explicit_little);
  }
  for (int view = 0; view < 2; ++view) {
    data::CtSliceFile scout = testing::slice_file(other, view);
    scout.image_type = "ORIGINAL\\PRIMARY\\LOCALIZER";
    scout.series_uid += "9";
    scout.sop_uid = fmt::format("{}.{}", scout.series_uid, view);
    scout.column_direction = {0, 0, -1};
    data::write_ct_slice(mixed / fmt::format("SCOUT/{}", view), scout, data::TransferSyntax::explicit_little);
  }
  testing::write_bytes(mixed / "report.txt", "the report, which says who it is about");
  data::write_secondary_capture(mixed / "IMAGE", mixed / "SE1/1.dcm", small_capture("test", 0));

  known.options.studies.clear();
  known.options.study = mixed.string();
  known.options.out = (known.folder / "out2").string();
  CHECK(apps::predict_studies(known.options).predicted == 1);
  const auto found = nlohmann::json::parse(testing::read_bytes(known.folder / "out2/studies/1.2.3.1.json"));
  CHECK(found["series"]["ct_slices"] == kSlices);
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
  testing::write_bytes(out / "pictures/1.2.3.2.png", "half");
  testing::write_bytes(out / "studies/1.2.3.3.json", whole.at("studies/1.2.3.3.json").substr(0, 400));
  for (const char* table : {"predictions.json", "predictions.csv", "submission.csv"}) fs::remove(out / table);
  const apps::PredictSummary summary = apps::predict_studies(known.options);
  CHECK(summary.reused == 1);
  CHECK(summary.predicted == 3);
  CHECK((files_in(out) == whole));
  for (const std::string damaged : {"", "[1]", "{\"study\": 7}", "{\"study\": \"1.2.3.3\"}"}) {
    testing::write_bytes(out / "studies/1.2.3.3.json", damaged);
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
  refused("(aggregation, aggregator)", [](auto& o) { o.rule = "max"; });
  refused("(models)", [&](auto& o) { o.models = {(known.folder / "surer").string()}; });
  // The same model from another place is the same model.
  fs::rename(known.folder / "model", known.folder / "moved");
  known.options.models = {(known.folder / "moved").string()};
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
  write_json(known.folder / "model/split.json",
             {{"train", {"1.2.3.3"}}, {"validation", {"1.2.3.2"}}, {"test", {"1.2.3.1"}}});
  apps::predict_studies(known.options);
  CHECK(known.study("1.2.3.3")["trained_on"] == true);
  CHECK(known.study("1.2.3.1")["trained_on"] == false);
}

TEST_CASE("predict: nothing but the secondary capture names a patient") {
  KnownCase known;
  known.options.wanted.secondary_capture = true;
  data::CtSliceFile file = testing::slice_file(body(200), 0);
  const data::Volume volume = body(200);
  const fs::path study = known.folder / "one/study";
  fs::create_directories(study);
  for (int z = 0; z < kSlices; ++z) {
    file = testing::slice_file(volume, z);
    file.patient_id = "SECRET-4711";
    data::write_ct_slice(study / fmt::format("{}.dcm", z), file, data::TransferSyntax::explicit_little);
  }
  known.options.studies = (known.folder / "one").string();
  apps::predict_studies(known.options);
  int named = 0;
  for (const auto& [path, bytes] : files_in(known.options.out)) {
    CAPTURE(path);
    const bool names = bytes.find("SECRET") != std::string::npos;
    CHECK(names == path.ends_with(".dcm"));
    named += names;
    if (path.ends_with(".json")) CHECK(bytes.find("1.2.826.0.1.3680043.1") == std::string::npos);
  }
  CHECK(named == 1);
  CHECK_FALSE(known.study("study")["series"].contains("patient"));  // not even the hash

  DcmFileFormat capture;
  REQUIRE(capture.loadFile((known.folder / "out/secondary-captures/study.dcm").c_str()).good());
  DcmDataset& dataset = *capture.getDataset();
  CHECK(tag(dataset, DCM_SOPClassUID) == UID_SecondaryCaptureImageStorage);
  CHECK(tag(dataset, DCM_Modality) == "OT");
  CHECK(tag(dataset, DCM_StudyInstanceUID) == file.study_uid);
  CHECK(tag(dataset, DCM_SeriesInstanceUID) != file.series_uid);
  CHECK(tag(dataset, DCM_PatientID) == "SECRET-4711");
  CHECK(tag(dataset, DCM_BurnedInAnnotation) == "YES");
  CHECK(tag(dataset, DCM_PhotometricInterpretation) == "RGB");
  CHECK(tag(dataset, DCM_DerivationDescription).find("not a medical device") != std::string::npos);
  const data::Image picture = data::read_image(known.folder / "out/pictures/study.png");
  const Uint8* pixels = nullptr;
  unsigned long count = 0;
  REQUIRE(dataset.findAndGetUint8Array(DCM_PixelData, pixels, &count).good());
  REQUIRE(count >= picture.pixels.size());
  CHECK(std::equal(picture.pixels.begin(), picture.pixels.end(), pixels));
  CHECK(tag(dataset, DCM_Rows) == std::to_string(picture.height));
}

TEST_CASE("predict: UIDs of secondary captures follow source, settings and pixels") {
  TempFolder folder;
  const data::Volume volume = body(100);
  data::CtSliceFile file = testing::slice_file(volume, 0);
  data::write_ct_slice(folder / "a.dcm", file, data::TransferSyntax::explicit_little);
  file.series_uid += "5";
  data::write_ct_slice(folder / "b.dcm", file, data::TransferSyntax::explicit_little);
  struct Uids {
    std::string series, instance;
  };
  const auto uids = [&](const char* source, const char* identity, std::uint8_t grey) {
    data::write_secondary_capture(folder / "c.dcm", folder / source, small_capture(identity, grey));
    DcmFileFormat capture;
    REQUIRE(capture.loadFile((folder / "c.dcm").c_str()).good());
    const Uids found{tag(*capture.getDataset(), DCM_SeriesInstanceUID),
                     tag(*capture.getDataset(), DCM_SOPInstanceUID)};
    CHECK(found.series.starts_with("2.25."));
    CHECK(found.series.size() <= 44);
    CHECK(found.series != found.instance);
    return found;
  };
  const Uids first = uids("a.dcm", "x", 1);
  CHECK(uids("a.dcm", "x", 1).instance == first.instance);
  CHECK(uids("a.dcm", "x", 2).series == first.series);
  CHECK(uids("a.dcm", "x", 2).instance != first.instance);
  CHECK(uids("a.dcm", "y", 1).series != first.series);
  CHECK(uids("b.dcm", "x", 1).series != first.series);
  testing::write_bytes(folder / "text", "no DICOM");
  CHECK_THROWS_WITH_AS(uids("text", "x", 1), doctest::Contains("text"), Error);
}

TEST_CASE("fingerprint: FNV-1a of 128 bits, and a UID of version 8") {
  const auto of = [](const std::string& text) {
    return data::Fingerprint().add(std::as_bytes(std::span(text))).hex();
  };
  // From the reference's test vectors.
  CHECK(of("") == "6c62272e07bb014262b821756295c58d");
  CHECK(of("a") == "d228cb696f1a8caf78912b704e4a8964");
  CHECK(of("foobar") == "343e1662793c64bf6f0d3597ba446f18");
  CHECK(data::Fingerprint().add("ab").add("c").hex() != data::Fingerprint().add("a").add("bc").hex());
  // 6c62272e-07bb-8142-a2b8-21756295c58d, by Python's int.
  CHECK(data::Fingerprint().uid() == "2.25.144066263297770420064017123000077108621");
}

TEST_CASE("predict: heat lies where the models looked, in millimeters") {
  const KnownCase known;
  apps::Ensemble ensemble({(known.folder / "model").string(), (known.folder / "surer").string()},
                          cpu_backend(), DType::f32);
  const apps::StudyPredictor predictor(std::move(ensemble), {apps::AggregationRule::mean, {"C2", "C5"}}, {});
  apps::CutOptions options = apps::cut_options(apps::source_for_models({(known.folder / "model").string()}));
  data::Volume volume;
  const apps::StudyCut cut = apps::cut_study({"study", known.images("1.2.3.1")}, options, volume);
  const int side = 200;
  const apps::PlaneAxes axes = apps::plane_axes(cut.grid, side);
  const std::vector<float> bright = predictor.heat(cut, 1, 0, side), dark = predictor.heat(cut, 1, 1, side);
  REQUIRE(bright.size() == static_cast<std::size_t>(side * side));
  const auto hottest = std::max_element(bright.begin(), bright.end());
  CHECK(*hottest == 1);
  // Rows 22..27 and slices 8..15, where the bone is; a cell of the models' maps is 7 mm.
  const auto at = static_cast<int>(hottest - bright.begin());
  CHECK(std::abs(axes.y.mm_at(at % side) - (-60 + 24.5 * kPixel)) < 9);
  CHECK(std::abs(axes.z.mm_at(at / side) - 11.5 * kStep) < 12);
  CHECK(dark[static_cast<std::size_t>(at)] < 0.1);
}

TEST_CASE("predict: which planes a picture shows") {
  apps::StudyPrediction prediction{.labels = {"patient_overall", "C1", "C2", "C3", "C4"},
                                   .slices = {9, -3, 0, -4, -1,  //
                                              9, -3, 1, -4, 0,   //
                                              9, -2, 0, -4, -1},
                                   .study = {9, -3, 0.5F, -4, -0.2F},
                                   .probabilities = {}};
  std::vector<apps::ShownPlane> shown = apps::planes_to_show(prediction);
  REQUIRE(shown.size() == 2);  // C2, and C4 that is more than half as probable
  CHECK(shown[0].output == 2);
  CHECK(shown[0].picture == 1);
  CHECK(shown[1].output == 4);
  CHECK(shown[1].picture == 1);
  prediction.study = {9, -3, -3, -3, -3};
  CHECK(apps::planes_to_show(prediction).size() == 3);
  prediction = {.labels = {"patient_overall"}, .slices = {0, 2}, .study = {1}, .probabilities = {}};
  shown = apps::planes_to_show(prediction);
  REQUIRE(shown.size() == 1);
  CHECK(shown[0].picture == 1);
}

TEST_CASE("predict: the axes of a picture name the millimeters of its pixels") {
  // A block of bone of which each edge is known, on a grid that is neither square nor as large as the
  // picture.
  const data::Volume volume = body(0);
  data::Volume used;
  TempFolder folder;
  testing::write_volume(folder / "study", volume);
  apps::CutOptions options;
  options.planes = 1;
  options.span_mm = 0;
  options.windows = {data::Window{.center = 900, .width = 1800}};
  for (const int size : {0, 97}) {
    options.size = size;
    options.spacing_mm = 1.3;
    const apps::StudyCut cut = apps::cut_study({"study", folder / "study"}, options, used);
    REQUIRE_FALSE(cut.refused());
    const int side = 384;
    const data::Image picture = data::letterbox(cut.pictures[0], side);
    const apps::PlaneAxes axes = apps::plane_axes(cut.grid, side);
    double y = 0, z = 0, weight = 0;
    for (int row = 0; row < side; ++row)
      for (int column = 0; column < side; ++column) {
        const double grey = picture.pixels[static_cast<std::size_t>(row * side + column)];
        y += grey * axes.y.mm_at(column);
        z += grey * axes.z.mm_at(row);
        weight += grey;
      }
    REQUIRE(weight > 0);
    // Rows 22..27 and slices 8..15 of the volume, whose first voxel is at y -60, z 0.
    CHECK(y / weight == doctest::Approx(-60 + 24.5 * kPixel).epsilon(0.01));
    CHECK(z / weight == doctest::Approx(11.5 * kStep).epsilon(0.01));
    CHECK(axes.z.mm_per_pixel < 0);
    for (const int mm : axes.y.ticks(side)) {
      CHECK(mm % 20 == 0);
      CHECK(axes.y.pixel_at(mm) >= 0);
      CHECK(axes.y.pixel_at(mm) <= side - 1);
    }
    CHECK(axes.y.ticks(side).size() >= 5);
  }
}

TEST_CASE("predict: folders that hold studies") {
  TempFolder folder;
  fs::create_directories(folder / "set/b/deep");
  fs::create_directories(folder / "set/a");
  fs::create_directories(folder / "set/.cache");
  testing::write_bytes(folder / "set/notes.txt", "text");
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
  testing::write_volume(folder / "one", body(0));
  CHECK_THROWS_WITH_AS(apps::studies_in(folder / "one"), doctest::Contains("--study"), Error);
  CHECK_FALSE(apps::naming_problem("..").empty());
  CHECK(apps::naming_problem("1.2.826.0.1.3680043.1").empty());
}

TEST_CASE("predict: a real head gives JSON, table and picture") {
  const data::Volume* head = testing::real_head();
  if (!head) return;
  KnownCase known({"patient_overall", "C1"});
  testing::write_volume(known.folder / "head", testing::small_head(*head), 3, data::TransferSyntax::rle);
  known.options.studies.clear();
  known.options.study = (known.folder / "head").string();
  CHECK(apps::predict_studies(known.options).predicted == 1);
  const nlohmann::json json = known.study("head");
  CHECK(json["series"]["ct_slices"] == testing::kHeadSlices / 2);
  CHECK(json["series"]["spacing_mm"]["median"] == doctest::Approx(2 * testing::kHeadStep));
  CHECK(json["overall_was_derived"] == false);
  CHECK(json["slices"].size() == 3);
  const data::CsvTable table = data::read_csv(known.folder / "out/predictions.csv");
  CHECK(table.rows[0][0] == "head");
  CHECK(table.number(0, table.column("C1")) > 0);
  const data::Image picture = data::read_image(known.folder / "out/pictures/head.png");
  CHECK(picture.channels == 3);
  CHECK(picture.width > 1000);
}
