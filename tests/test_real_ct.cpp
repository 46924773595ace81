// A real head CT (Debian's invesalius-examples, 108 x 256 x 256 voxels) written as DICOM and read back in
// every way that archives mistreat a study. The planes must equal the source voxels; what cannot be right
// must be refused.
#include <zlib.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/engine/reslice.h"
#include "data/csv.h"
#include "data/image.h"
#include "data/rsna_csv.h"
#include "data/sagittal.h"
#include "tests/ct_fixture.h"

using namespace sagitta;
using namespace sagitta::data;
using namespace sagitta::testing;

namespace {

constexpr const char* kExample = "/usr/share/doc/invesalius-examples/examples/Cranium.inv3";
constexpr int kSlices = 108, kSide = 256;
constexpr double kPixel = 0.957, kStep = 1.5;

// The bytes of one member of a gzip-compressed tar archive.
std::string tar_member(const char* archive, const std::string& ending) {
  gzFile file = gzopen(archive, "rb");
  std::string found;
  char header[512];
  while (file && gzread(file, header, 512) == 512 && header[0] != 0) {
    const std::string name(header, strnlen(header, 100));
    const auto size = std::stoul(std::string(header + 124, 11), nullptr, 8);
    std::string bytes((size + 511) / 512 * 512, '\0');
    if (gzread(file, bytes.data(), static_cast<unsigned>(bytes.size())) != static_cast<int>(bytes.size()))
      break;
    if (name.ends_with(ending)) {
      found = bytes.substr(0, size);
      break;
    }
  }
  if (file) gzclose(file);
  return found;
}

// The head as a volume; null, with a message, where the example is not installed.
const Volume* head() {
  static const std::optional<Volume> volume = []() -> std::optional<Volume> {
    if (!std::filesystem::exists(kExample)) return std::nullopt;
    const std::string bytes = tar_member(kExample, "matrix.dat");
    REQUIRE(bytes.size() == std::size_t{kSlices} * kSide * kSide * 2);
    Volume head = make_volume(kSlices, kSide, kSide, kPixel, kStep);
    for (int z = 0; z < kSlices; ++z)
      for (int row = 0; row < kSide; ++row)
        // The example's rows run to the front, DICOM's to the back.
        std::memcpy(&head.hu[(std::size_t(z) * kSide + row) * kSide],
                    bytes.data() + (std::size_t(z) * kSide + (kSide - 1 - row)) * kSide * 2, kSide * 2);
    return head;
  }();
  if (!volume) MESSAGE("SKIPPED: install the package invesalius-examples for the tests on a real CT");
  return volume ? &*volume : nullptr;
}

// A part of the head, for tests that need no more: every second slice, row and column.
Volume small_head(const Volume& head) {
  Volume small = make_volume(kSlices / 2, kSide / 4, kSide / 4, kPixel * 4, kStep * 2);
  for (int z = 0; z < small.slices; ++z)
    for (int row = 0; row < small.rows; ++row)
      for (int column = 0; column < small.columns; ++column)
        small.hu[(std::size_t(z) * small.rows + row) * small.columns + column] =
            head.at(z * 2, row * 4, column * 4);
  return small;
}

// Largest difference between a plane of `volume` and the voxels of `source` at one column index, on the
// pixels that fall on a slice or on a row of voxels; between those, linear interpolation. `shear` is in mm of
// y per slice.
double largest_difference(const Volume& volume, const Volume& source, int column, double shear = 0) {
  const double x_mm = source.to_lps(0, 0, column)[0];
  const double y0 = source.positions[0][1];
  double largest = 0;
  const auto voxel_row = [&](int z, double y) {  // linear along y within slice z
    const double row = (y - y0 - shear * z) / source.row_spacing;
    const int r = static_cast<int>(std::floor(row));
    if (r < 0 || r + 1 >= source.rows) return std::nan("");
    return source.at(z, r, column) + (row - r) * (source.at(z, r + 1, column) - source.at(z, r, column));
  };
  const SagittalGrid grid = natural_grid(volume, kStep / 3);
  const SagittalPlane plane = cut_sagittal(volume, grid, x_mm);
  REQUIRE(grid.height == (source.slices - 1) * 3 + 1);
  for (int row = 0; row < grid.height; ++row) {
    const int below = (grid.height - 1 - row) / 3, third = (grid.height - 1 - row) % 3;
    for (int i = 0; i < grid.width; ++i) {
      const double y = grid.y_first + i * grid.spacing_mm;
      const double low = voxel_row(below, y), high = third == 0 ? low : voxel_row(below + 1, y);
      const double expected = low + (high - low) * third / 3;
      if (std::isnan(expected)) continue;
      largest =
          std::max(largest, std::abs(expected - plane.hu[static_cast<std::size_t>(row) * grid.width + i]));
    }
  }
  return largest;
}

bool mentions(const SeriesReport& report, const std::string& part) {
  return std::any_of(report.reasons.begin(), report.reasons.end(),
                     [&](const std::string& reason) { return reason.find(part) != std::string::npos; });
}

}  // namespace

TEST_CASE("real CT: sagittal planes equal the source in every transfer syntax, files shuffled and renamed") {
  const Volume* source = head();
  if (!source) return;
  for (const TransferSyntax syntax : kTransferSyntaxes) {
    CAPTURE(transfer_syntax_name(syntax));
    TempFolder folder;
    write_volume(folder.path(), *source, 7, syntax);
    const Series series = read_series(folder.path());
    CHECK(series.report.verdict == Verdict::ok);
    CHECK(series.report.spacing_median == doctest::Approx(kStep));
    CHECK(series.report.tilt_degrees < 0.01);
    const Volume volume = load_volume(series, 2);
    CHECK(volume.hu == source->hu);
    if (syntax == TransferSyntax::explicit_little)
      for (const int column : {60, 128, 131}) CHECK(largest_difference(volume, *source, column) < 0.01);
  }
}

TEST_CASE("real CT: order reversed, head first or feet first, by name or number: the same volume") {
  const Volume* head_volume = head();
  if (!head_volume) return;
  const Volume source = small_head(*head_volume);
  for (const bool reversed : {false, true}) {
    TempFolder folder;
    for (int z = 0; z < source.slices; ++z) {
      CtSliceFile file = slice_file(source, z);
      file.instance_number = reversed ? source.slices - z : z + 1;
      write_ct_slice(folder.path() / fmt::format("{}.dcm", file.instance_number), file, TransferSyntax::rle);
    }
    const Volume volume = load_volume(read_series(folder.path()));
    CHECK(volume.hu == source.hu);
    CHECK(volume.positions == source.positions);
    CHECK(volume.sources.front().file_number == (reversed ? source.slices : 1));
    CHECK(volume.sources.front().sop_uid == slice_file(source, 0).sop_uid);
  }
}

TEST_CASE("real CT: a sheared stack is sheared back") {
  const Volume* source = head();
  if (!source) return;
  constexpr double kShear = 0.35;  // mm to the back per slice of 1.5 mm: 13 degrees
  Volume sheared = *source;
  for (int z = 0; z < kSlices; ++z) sheared.positions[static_cast<std::size_t>(z)][1] += kShear * z;
  TempFolder folder;
  write_volume(folder.path(), sheared);
  const Series series = read_series(folder.path());
  CHECK(series.report.verdict == Verdict::warn);
  CHECK(mentions(series.report, "sheared by 13.1"));
  CHECK(series.report.tilt_degrees == doctest::Approx(13.13).epsilon(0.01));
  CHECK(series.report.spacing_median == doctest::Approx(kStep));
  CHECK(largest_difference(load_volume(series), *source, 128, kShear) < 0.01);
}

TEST_CASE("real CT: scanned with a tilted gantry, the planes are those of the upright head") {
  const Volume* source = head();
  if (!source) return;
  const double angle = 15 * 3.14159265358979 / 180;
  // Sampled along tilted slices from the upright head, one sagittal plane thick on both sides of column 128.
  Volume tilted = make_volume(60, kSide, 3, kPixel, kStep);
  tilted.column_direction = {0, std::cos(angle), std::sin(angle)};
  for (int z = 0; z < tilted.slices; ++z)
    tilted.positions[static_cast<std::size_t>(z)] = source->to_lps(24 + z, 0, 127);
  for (int z = 0; z < tilted.slices; ++z)
    for (int row = 0; row < kSide; ++row)
      for (int column = 0; column < 3; ++column) {
        const Vec3 p = tilted.to_lps(z, row, column);
        const SagittalGrid point{1, 1, 0.1, p[1], p[2]};
        tilted.hu[(std::size_t(z) * kSide + row) * 3 + column] =
            static_cast<std::int16_t>(std::lround(cut_sagittal(*source, point, p[0]).hu[0]));
      }
  TempFolder folder;
  write_volume(folder.path(), tilted);
  const Series series = read_series(folder.path());
  CHECK(mentions(series.report, "sheared by 15.0"));
  const Volume volume = load_volume(series);
  const double x_mm = source->to_lps(0, 0, 128)[0];
  const SagittalGrid grid = natural_grid(*source, 1);
  const SagittalPlane truth = cut_sagittal(*source, grid, x_mm), got = cut_sagittal(volume, grid, x_mm);
  double difference = 0, ignored_tilt = 0;
  int compared = 0;
  for (int row = 30; row < 60; ++row) {  // where the tilted stack covers all columns
    for (int column = 60; column < 190; ++column) {
      const auto at = static_cast<std::size_t>(row) * grid.width + column;
      difference += std::abs(truth.hu[at] - got.hu[at]);
      ignored_tilt += std::abs(truth.hu[at] - truth.hu[at + std::size_t(20) * grid.width]);
      ++compared;
    }
  }
  MESSAGE("mean difference after two interpolations: " << difference / compared << " HU");
  CHECK(difference / compared < 25);
  CHECK(ignored_tilt > 5 * difference);  // the test could see a mistake
}

TEST_CASE("real CT: what is wrong with a study is found and said") {
  const Volume* head_volume = head();
  if (!head_volume) return;
  const Volume source = small_head(*head_volume);
  TempFolder folder;
  const std::vector<std::filesystem::path> files = write_volume(folder.path(), source);
  const auto add = [&](const std::string& name, CtSliceFile file) {
    write_ct_slice(folder.path() / name, file, TransferSyntax::explicit_little);
  };
  Verdict expected = Verdict::refused;
  std::string reason;
  SUBCASE("nothing") { expected = Verdict::ok; }
  SUBCASE("a slice is missing") {
    std::filesystem::remove(files[20]);
    reason = "about 1 slice(s) missing in 1 place(s)";
  }
  SUBCASE("three slices are missing") {
    for (const int z : {10, 11, 30}) std::filesystem::remove(files[static_cast<std::size_t>(z)]);
    reason = "about 3 slice(s) missing in 2 place(s)";
  }
  SUBCASE("a slice twice, under another name and number") {
    CtSliceFile copy = slice_file(source, 20);
    copy.sop_uid += ".7";
    add("copy.dcm", copy);
    expected = Verdict::warn;
    reason = "1 duplicate";
  }
  SUBCASE("two different slices at one place") {
    CtSliceFile other = slice_file(source, 20);
    other.sop_uid += ".7";
    other.stored[1000] += 1;
    add("other.dcm", other);
    reason = "two different images at one position";
  }
  SUBCASE("a scout") {
    CtSliceFile scout = slice_file(source, 0);
    scout.sop_uid += ".7";
    scout.image_type = "ORIGINAL\\PRIMARY\\LOCALIZER";
    scout.column_direction = {0, 0, -1};
    add("0.dcm", scout);
    expected = Verdict::ok;
    reason = "1 localizer";
  }
  SUBCASE("a scout that does not say so") {
    CtSliceFile scout = slice_file(source, 0);
    scout.sop_uid += ".7";
    scout.column_direction = {0, 0, -1};
    add("0.dcm", scout);
    expected = Verdict::ok;
    reason = "1 image(s) that are not axial";
  }
  SUBCASE("a few images of another size") {
    Volume larger = make_volume(2, 80, 80, 3, 3);
    for (int z = 0; z < 2; ++z) add(fmt::format("large{}.dcm", z), slice_file(larger, z));
    expected = Verdict::warn;
    reason = "2 of 56 axial images of the series differ";
  }
  SUBCASE("half of the images of another size") {
    Volume larger = make_volume(50, 80, 80, 3, 3);
    for (int z = 0; z < 50; ++z) add(fmt::format("large{}.dcm", z), slice_file(larger, z));
    reason = "not clear which are the volume";
  }
  SUBCASE("another series") {
    for (int z = 0; z < 20; ++z) {
      CtSliceFile file = slice_file(source, z);
      file.series_uid += ".2";
      file.sop_uid += ".7";
      add(fmt::format("b{}.dcm", z), file);
    }
    expected = Verdict::ok;
    reason = "20 axial image(s) of other series";
  }
  SUBCASE("another patient") {
    CtSliceFile file = slice_file(source, 3);
    file.patient_id = "somebody else";
    file.sop_uid += ".7";
    add("b.dcm", file);
    reason = "several patients";
  }
  SUBCASE("a truncated file in the middle") {
    std::filesystem::resize_file(files[20], 400);
    reason = "slice(s) missing";
  }
  SUBCASE("a truncated file at the end") {
    std::filesystem::resize_file(files[0], 400);
    expected = Verdict::warn;
    reason = "1 file(s) could not be read";
  }
  SUBCASE("a file that is not DICOM though its name says so") {
    write_bytes(folder.path() / "999.dcm", "hello");
    expected = Verdict::warn;
    reason = "no DICM marker";
  }
  SUBCASE("other files") {
    write_bytes(folder.path() / "notes.txt", "hello");
    expected = Verdict::ok;
  }
  SUBCASE("few slices") {
    for (int z = 8; z < source.slices; ++z) std::filesystem::remove(files[static_cast<std::size_t>(z)]);
    reason = "only 8 axial slice(s)";
  }
  SUBCASE("every fourth slice") {
    for (int z = 0; z < source.slices; ++z)
      if (z % 4 != 0) std::filesystem::remove(files[static_cast<std::size_t>(z)]);
    reason = "12.00 mm apart";
  }
  SUBCASE("nothing at all") {
    for (const auto& file : files) std::filesystem::remove(file);
    reason = "no axial CT images";
  }
  const Series series = read_series(folder.path());
  std::string all;
  for (const std::string& line : series.report.reasons) all += line + "; ";
  CHECK_MESSAGE(series.report.verdict == expected, all);
  CHECK_MESSAGE((reason.empty() || mentions(series.report, reason)), all);
  if (series.report.verdict == Verdict::refused) {
    CHECK_FALSE(series.report.reasons.empty());
    CHECK_THROWS_AS(load_volume(series), Error);
  } else {
    CHECK(series.report.spacing_median == doctest::Approx(kStep * 2));  // not SliceThickness
    CHECK(load_volume(series).slices >= source.slices - 1);
  }
}

TEST_CASE("real CT: uneven distances are kept, gaps are filled only when asked") {
  const Volume* head_volume = head();
  if (!head_volume) return;
  Volume source = small_head(*head_volume);
  TempFolder folder;
  for (int z = 0; z < source.slices; ++z) source.positions[static_cast<std::size_t>(z)][2] += (z % 2) * 0.4;
  const auto files = write_volume(folder.path(), source);
  const Series series = read_series(folder.path());
  CHECK(series.report.verdict == Verdict::warn);
  CHECK(mentions(series.report, "vary from 2.600 to 3.400"));
  CHECK(load_volume(series).positions[31][2] == doctest::Approx(93.4));

  std::filesystem::remove(files[20]);
  CHECK(read_series(folder.path()).report.verdict == Verdict::refused);
  SeriesPolicy policy;
  policy.interpolate_missing = true;
  CHECK(read_series(folder.path(), policy).report.verdict == Verdict::warn);
}

TEST_CASE("real CT: the midline of the head is found") {
  const Volume* source = head();
  if (!source) return;
  const Midline midline = find_midline(*source);
  CHECK(midline.found);
  MESSAGE("midline at x = " << midline.x_mm << " mm");
  CHECK(std::abs(midline.x_mm) < 8);  // the head lies nearly centered; the nose and the dens are there
}

TEST_CASE("real CT: reslice a small data set, resume it, refuse what is bad") {
  const Volume* head_volume = head();
  if (!head_volume) return;
  const Volume source = small_head(*head_volume);
  TempFolder folder;
  const auto images = folder.path() / "rsna/train_images";
  std::vector<StudyLabels> labels;
  for (int i = 1; i <= 4; ++i) {
    const std::string study = fmt::format("1.2.826.0.1.3680043.{}", i);
    const auto files = write_volume(images / study, source, static_cast<unsigned>(i));
    if (i == 3) std::filesystem::remove(files[25]);
    labels.push_back({study, i == 2, {0, i == 2, 0, 0, 0, 0, 0}});
  }
  labels.push_back({"1.2.826.0.1.3680043.99", 0, {}});  // in the table, not on disk
  write_train_csv(folder.path() / "rsna/train.csv", labels);

  apps::ResliceOptions options;
  options.data = folder.path() / "rsna";
  options.out = folder.path() / "out";
  options.planes = 5;
  options.span_mm = 20;
  options.spacing_mm = 2;
  options.windows = {parse_window("bone")};
  options.jobs = 2;
  const apps::ResliceSummary first = reslice(options);
  CHECK(first.ok == 3);
  CHECK(first.refused == 2);
  CHECK(first.reused == 0);
  const CsvTable manifest = read_csv(options.out / "manifest.csv");
  REQUIRE(manifest.rows.size() == 15);
  CHECK(manifest.header == std::vector<std::string>{"slice", "study", "x_mm", "patient_overall", "C1", "C2",
                                                    "C3", "C4", "C5", "C6", "C7"});
  CHECK(manifest.rows[5][1] == "1.2.826.0.1.3680043.2");
  CHECK(manifest.rows[5][3] == "1");
  CHECK(manifest.rows[5][5] == "1");
  CHECK(manifest.number(6, 2) - manifest.number(5, 2) == doctest::Approx(5));
  const Image image = read_image(options.out / manifest.rows[5][0]);
  CHECK(image.channels == 1);
  CHECK(image.height == 80);  // 53 gaps of 3 mm at 2 mm
  CHECK(image.width == 121);  // 63 pixels of 3.828 mm at 2 mm
  const auto studies = nlohmann::json::parse(read_bytes(options.out / "studies.json"));
  CHECK(studies["studies"].size() == 5);
  CHECK(studies["studies"][2]["verdict"] == "refused");
  CHECK(studies["studies"][2]["reasons"][0].get<std::string>().find("missing") != std::string::npos);
  CHECK(studies["studies"][0]["spacing_mm"]["median"] == doctest::Approx(3));
  CHECK_FALSE(std::filesystem::exists(options.out / "slices/1.2.826.0.1.3680043.3"));

  // As if killed in the middle of study 2: the record is missing, one picture is half there.
  const std::string manifest_before = read_bytes(options.out / "manifest.csv");
  const std::string studies_before = read_bytes(options.out / "studies.json");
  const auto second_study = options.out / "slices/1.2.826.0.1.3680043.2";
  const std::string picture = read_bytes(second_study / "3.png");
  std::filesystem::remove(second_study / "study.json");
  write_bytes(second_study / "3.png", picture.substr(0, 100));
  std::filesystem::remove(options.out / "manifest.csv");
  options.jobs = 1;
  const apps::ResliceSummary again = reslice(options);
  CHECK(again.ok == 3);
  CHECK(again.reused == 2);
  CHECK(read_bytes(options.out / "manifest.csv") == manifest_before);
  CHECK(read_bytes(options.out / "studies.json") == studies_before);
  CHECK(read_bytes(second_study / "3.png") == picture);

  // A study that has become bad loses the slices of the earlier run.
  std::filesystem::remove(second_study / "study.json");
  std::filesystem::remove(images / "1.2.826.0.1.3680043.2" / "7.dcm");
  CHECK(reslice(options).refused == 3);
  CHECK_FALSE(std::filesystem::exists(second_study));

  options.span_mm = 30;
  CHECK_THROWS_WITH_AS(reslice(options), doctest::Contains("span_mm"), Error);

  options.out = folder.path() / "neighbors";
  options.span_mm = 20;
  options.channels = apps::SliceChannels::neighbors;
  CHECK(reslice(options).ok == 2);
  const Image rgb = read_image(options.out / "slices/1.2.826.0.1.3680043.1/2.png");
  const Image grey = read_image(folder.path() / "out/slices/1.2.826.0.1.3680043.1/3.png");
  REQUIRE(rgb.channels == 3);
  for (std::size_t i = 0; i < grey.pixels.size(); ++i) CHECK_UNARY(rgb.pixels[i * 3 + 2] == grey.pixels[i]);

  options.channels = apps::SliceChannels::windows;
  CHECK_THROWS_AS(reslice(options), Error);  // one window, three needed
  options.data = folder.path() / "nowhere";
  CHECK_THROWS_AS(reslice(options), Error);
}
