// The picture of a study: what it shows and where, and its DICOM.
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>

#include "apps/predict/plane_axes.h"
#include "apps/predict/slice_rule_reader.h"
#include "apps/predict/study_picture.h"
#include "data/csv.h"
#include "data/fingerprint.h"
#include "tests/predict_fixture.h"
#include "tests/real_head.h"

using namespace sagitta;
using namespace sagitta::testing;

namespace {

std::string tag(DcmDataset& dataset, const DcmTagKey& key) {
  OFString value;
  REQUIRE(dataset.findAndGetOFStringArray(key, value).good());
  return {value.c_str(), value.size()};
}

}  // namespace

TEST_CASE("predict: nothing but the secondary capture names a patient") {
  KnownCase known;
  known.options.wanted.secondary_capture = true;
  data::CtSliceFile file = slice_file(body(200), 0);
  const data::Volume volume = body(200);
  const fs::path study = known.folder / "one/study";
  fs::create_directories(study);
  for (int z = 0; z < kBodySlices; ++z) {
    file = slice_file(volume, z);
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
  data::CtSliceFile file = slice_file(volume, 0);
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
  write_bytes(folder / "text", "no DICOM");
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
  const apps::StudyPredictor predictor(std::make_unique<apps::SliceRuleReader>(
      std::move(ensemble), apps::StudyAggregator(apps::AggregationRule::mean, {"C2", "C5"}),
      apps::ReadingOptions()));
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
  CHECK(std::abs(axes.y.mm_at(at % side) - (-60 + 24.5 * kBodyPixel)) < 9);
  CHECK(std::abs(axes.z.mm_at(at / side) - 11.5 * kBodyStep) < 12);
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
  write_volume(folder / "study", volume);
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
    CHECK(y / weight == doctest::Approx(-60 + 24.5 * kBodyPixel).epsilon(0.01));
    CHECK(z / weight == doctest::Approx(11.5 * kBodyStep).epsilon(0.01));
    CHECK(axes.z.mm_per_pixel < 0);
    for (const int mm : axes.y.ticks(side)) {
      CHECK(mm % 20 == 0);
      CHECK(axes.y.pixel_at(mm) >= 0);
      CHECK(axes.y.pixel_at(mm) <= side - 1);
    }
    CHECK(axes.y.ticks(side).size() >= 5);
  }
}

TEST_CASE("predict: a real head gives JSON, table and picture") {
  const data::Volume* head = real_head();
  if (!head) return;
  KnownCase known({"patient_overall", "C1"});
  write_volume(known.folder / "head", small_head(*head), 3, data::TransferSyntax::rle);
  known.options.studies.clear();
  known.options.study = (known.folder / "head").string();
  CHECK(apps::predict_studies(known.options).predicted == 1);
  const nlohmann::json json = known.study("head");
  CHECK(json["series"]["ct_slices"] == kHeadSlices / 2);
  CHECK(json["series"]["spacing_mm"]["median"] == doctest::Approx(2 * kHeadStep));
  CHECK(json["overall_was_derived"] == false);
  CHECK(json["slices"].size() == 3);
  const data::CsvTable table = data::read_csv(known.folder / "out/predictions.csv");
  CHECK(table.rows[0][0] == "head");
  CHECK(table.number(0, table.column("C1")) > 0);
  const data::Image picture = data::read_image(known.folder / "out/pictures/head.png");
  CHECK(picture.channels == 3);
  CHECK(picture.width > 1000);
}
