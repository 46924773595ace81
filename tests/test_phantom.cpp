// The synthetic patients: anatomy at its landmarks, fractures where they are said to be, a data set that
// reads back.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "data/phantom.h"
#include "data/rsna_csv.h"
#include "data/series.h"
#include "data/volume.h"
#include "tensor/error.h"
#include "tests/temp_folder.h"

using namespace sagitta::data;
using sagitta::testing::read_bytes;
using sagitta::testing::TempFolder;

namespace {

constexpr std::array<int, 7> kIntact{};
constexpr float kBlur = 0.6f;

// Mean HU of a patch across the axis of a vertebra, so that single trabeculae do not count.
float patch(const PhantomField& field, const Frame& frame, float height) {
  float sum = 0;
  for (float x : {-3.0f, -1.0f, 1.0f, 3.0f})
    for (float y : {-3.0f, -1.0f, 1.0f, 3.0f}) sum += field.at(frame.to_world(Point{x, y, height}));
  return sum / 16;
}

}  // namespace

TEST_CASE("phantom: dens, atlas, bodies, cord and airway are where they belong") {
  for (int study = 0; study < 8; ++study) {
    CAPTURE(study);
    const Patient patient = sample_patient(11, study, kIntact, 0.5);
    const PhantomField field(patient, kBlur);
    const auto at = [&](int level, Point local) {
      return field.at(patient.frames[level - 1].to_world(local));
    };
    CHECK(at(2, {0, 0, 19}) > 100);      // dens
    CHECK(at(2, {0, -6.5f, 17}) < 250);  // the joint before it
    CHECK(at(1, {0, -10, 0}) > 100);     // anterior arch
    CHECK(at(1, {0, 31.5f, 0}) > 100);   // posterior arch
    CHECK(at(1, {19, 1, 0}) > 100);      // lateral masses
    CHECK(at(1, {-19, 1, 0}) > 100);
    for (int level = 3; level <= 7; ++level) {
      CAPTURE(level);
      const VertebraShape& s = patient.shapes[level - 1];
      CHECK(patch(field, patient.frames[level - 1], 0) > 120);
      CHECK(at(level, {s.pillar_x, s.half_depth + 5.5f, 0}) > 100);
      CHECK(at(level, {0, s.half_depth + 21, -3}) > 100);
      const float cord = at(level, canal_center(s));
      CHECK(cord > 0);
      CHECK(cord < 80);
    }
    const Tissue tissue(patient, kBlur);
    const Section& neck = tissue.section(patient.frames[5].origin.z);
    CHECK(field.at({0.5f * neck.body.x, neck.airway_y, patient.frames[5].origin.z}) < -900);
    CHECK(field.at({0, neck.skin_front - 15, patient.frames[5].origin.z}) < -900);
  }
}

TEST_CASE("phantom: along the column, C2 to T1 are seven bones parted by discs") {
  for (int study = 0; study < 8; ++study) {
    CAPTURE(study);
    const Patient patient = sample_patient(12, study, kIntact, 0.5);
    const PhantomField field(patient, kBlur);
    int bones = 0;
    bool in_bone = false;
    // From the center of C2 to that of T1, along the bodies' own axes.
    for (int level = 2; level <= 8; ++level) {
      const Frame& frame = patient.frames[level - 1];
      const VertebraShape& s = patient.shapes[level - 1];
      const float top = level == 2 ? 0 : s.half_height + 0.5f * patient.disc_mm[level - 1];
      const float bottom = level == 8 ? 0 : -s.half_height - 0.5f * patient.disc_mm[level];
      for (float height = top; height > bottom; height -= 0.4f) {
        const bool bone = patch(field, frame, height) > 150;
        bones += bone && !in_bone;
        in_bone = bone;
      }
    }
    CHECK(bones == 7);
  }
}

TEST_CASE("phantom: a fracture changes voxels inside its bounding boxes and nowhere else") {
  std::map<FractureKind, int> seen;
  for (int study = 0; study < 21; ++study) {
    std::array<int, 7> labels{};
    const int level = study % 7;
    labels[level] = 1;
    Patient broken = sample_patient(13, study, labels, 0.5);
    // The swelling before the spine is a sign of the fracture, but reaches beyond it.
    for (Fracture& f : broken.fractures) f.swelling = 0;
    Patient intact = broken;
    intact.fractures.clear();
    Scan scan = sample_scan(broken, {.size = 96, .step_mm = 2}, 13, study);
    scan.tilt = study % 3 == 0 ? 0.15 : 0;
    const PhantomField with(broken, 1), without(intact, 1);
    REQUIRE_FALSE(broken.fractures.empty());
    ++seen[broken.fractures[0].kind];
    CAPTURE(fracture_name(broken.fractures[0].kind));
    int inside = 0, outside = 0;
    std::vector<float> a(96), b(96);
    for (int slice = 0; slice < scan.slices; ++slice) {
      std::vector<std::array<double, 4>> boxes;
      for (const Fracture& f : broken.fractures)
        if (const auto box = fracture_box(broken, f, scan, slice)) boxes.push_back(*box);
      for (int row = 0; row < 96; ++row) {
        const Point start = voxel_position(scan, slice, row, 0);
        with.row(start, static_cast<float>(scan.pixel_mm), a);
        without.row(start, static_cast<float>(scan.pixel_mm), b);
        for (int column = 0; column < 96; ++column) {
          if (std::abs(a[column] - b[column]) < 1) continue;
          const bool boxed = std::any_of(boxes.begin(), boxes.end(), [&](const auto& box) {
            return column >= box[0] - 1 && column <= box[0] + box[2] + 1 && row >= box[1] - 1 &&
                   row <= box[1] + box[3] + 1;
          });
          ++(boxed ? inside : outside);
        }
      }
    }
    CHECK(inside > 10);
    CHECK(outside == 0);
  }
  CHECK(seen.size() >= 6);
}

TEST_CASE("phantom: a label changes its own vertebra, not the patient") {
  const Patient intact = sample_patient(14, 3, kIntact, 0.5);
  const Patient broken = sample_patient(14, 3, {0, 0, 0, 0, 1, 0, 0}, 0.5);
  CHECK(intact.fat_mm == broken.fat_mm);
  CHECK(intact.shapes[6].half_width == broken.shapes[6].half_width);
  CHECK(std::all_of(broken.fractures.begin(), broken.fractures.end(),
                    [](const Fracture& f) { return f.level == 5; }));
}

TEST_CASE("phantom: noise has the asked strength and words fit their format") {
  for (int study = 0; study < 12; ++study) {
    const Patient patient = sample_patient(15, study, kIntact, 0.5);
    const Scan scan = sample_scan(patient, {.size = 96, .step_mm = 3}, 15, study);
    const PhantomField field(patient, blur_mm(scan));
    const auto stored = render_slice(field, scan, scan.slices / 3);
    CHECK(stored == render_slice(field, scan, scan.slices / 3));
    double sum = 0, squares = 0;
    int count = 0;
    for (int row = 1; row < 95; ++row) {
      std::vector<float> truth(96);
      field.row(voxel_position(scan, scan.slices / 3, row, 0), static_cast<float>(scan.pixel_mm), truth);
      for (int column = 1; column < 95; ++column) {
        const std::uint16_t word = stored[static_cast<std::size_t>(row) * 96 + column];
        const int value = scan.is_signed ? static_cast<std::int16_t>(word) : word;
        if (scan.bits_stored == 12) CHECK(value < 4096);
        // Muscle, away from edges.
        const auto muscle = [&](int at) { return std::abs(truth[at] - 57) < 8; };
        if (!muscle(column - 1) || !muscle(column) || !muscle(column + 1) ||
            (scan.padding && value == *scan.padding))
          continue;
        const double error = value + scan.intercept - truth[column];
        sum += error, squares += error * error, ++count;
      }
    }
    REQUIRE(count > 100);
    CAPTURE(scan.noise_hu);
    CHECK(std::abs(sum / count) < 10);
    CHECK(std::sqrt(squares / count) > scan.noise_hu);
    CHECK(std::sqrt(squares / count) < 5 * scan.noise_hu);
  }
}

TEST_CASE(
    "phantom: a data set is the same bytes on one thread and on three, reads back and passes the geometry "
    "checks") {
  const TempFolder folder;
  PhantomOptions options{.out = folder / "a", .studies = 8, .seed = 21, .scan = {.size = 64, .step_mm = 2.5}};
  options.jobs = 1;
  int last = 0;
  const PhantomSummary summary = write_phantom(options, [&](int done) { last = done; });
  CHECK(last == 8);
  options.out = folder / "b";
  options.jobs = 3;
  write_phantom(options, [](int) {});
  long long files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder / "a")) {
    if (!entry.is_regular_file()) continue;
    files += entry.path().extension() == ".dcm";
    const auto other = folder / "b" / std::filesystem::relative(entry.path(), folder / "a");
    CAPTURE(entry.path().string());
    REQUIRE(read_bytes(entry.path()) == read_bytes(other));
  }
  CHECK(files == summary.slices);

  const auto studies = read_train_csv(folder / "a/train.csv");
  const auto boxes = read_bounding_boxes_csv(folder / "a/train_bounding_boxes.csv");
  REQUIRE(studies.size() == 8);
  CHECK_FALSE(boxes.empty());
  for (const auto& study : studies) {
    CAPTURE(study.study);
    const auto images = folder / "a/train_images" / study.study;
    const auto own =
        std::count_if(boxes.begin(), boxes.end(), [&](const auto& box) { return box.study == study.study; });
    CHECK((own > 0) == (study.overall == 1));
    const Series series = read_series(images);
    CAPTURE(series.report.reasons.empty() ? std::string() : series.report.reasons.front());
    CHECK(series.report.verdict != Verdict::refused);
    const Volume volume = load_volume(series);
    CHECK(*std::max_element(volume.hu.begin(), volume.hu.end()) > 700);
    CHECK(*std::min_element(volume.hu.begin(), volume.hu.end()) < -990);
  }
  for (const auto& box : boxes) {
    REQUIRE(std::filesystem::exists(folder / "a/train_images" / box.study /
                                    fmt::format("{}.dcm", box.slice_number)));
    REQUIRE(box.x + box.width <= 64);
    REQUIRE(box.y + box.height <= 64);
  }
  CHECK_THROWS_AS(write_phantom(options, [](int) {}), sagitta::Error);
}

TEST_CASE("phantom: a data set in one transfer syntax") {
  const TempFolder folder;
  PhantomOptions options{.out = folder / "d", .studies = 2, .scan = {.size = 64, .step_mm = 5}, .jobs = 1};
  options.syntax = TransferSyntax::rle;
  write_phantom(options, [](int) {});
  std::map<std::string, int> syntaxes;
  for (const auto& study : std::filesystem::directory_iterator(folder / "d/train_images"))
    for (const CtSlice& slice : scan_folder(study.path()).slices) ++syntaxes[slice.transfer_syntax];
  REQUIRE(syntaxes.size() == 1);
  CHECK(syntaxes.begin()->first == "RLE Lossless");
}

TEST_CASE("phantom: options out of range are refused") {
  const TempFolder folder;
  const auto refuse = [&](auto change) {
    PhantomOptions options{.out = folder / "x", .studies = 1};
    change(options);
    CHECK_THROWS_AS(write_phantom(options, [](int) {}), sagitta::Error);
  };
  refuse([](auto& o) { o.studies = 0; });
  refuse([](auto& o) { o.scan.size = 8; });
  refuse([](auto& o) { o.scan.step_mm = 0; });
  refuse([](auto& o) { o.difficulty = 1.5; });
  refuse([](auto& o) { o.prevalence_scale = -1; });
  refuse([](auto& o) { o.out = "/proc/nothing"; });
}
