// A real head CT written as DICOM and read back in every way that archives mistreat a study. The planes must
// equal the source voxels; what cannot be right must be refused.
#include <cmath>

#include "data/sagittal.h"
#include "tests/real_head.h"

using namespace sagitta;
using namespace sagitta::data;
using namespace sagitta::testing;

namespace {

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
  const SagittalGrid grid = natural_grid(volume, kHeadStep / 3);
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
  const Volume* source = real_head();
  if (!source) return;
  for (const TransferSyntax syntax : kTransferSyntaxes) {
    CAPTURE(transfer_syntax_name(syntax));
    TempFolder folder;
    write_volume(folder.path(), *source, 7, syntax);
    const Series series = read_series(folder.path());
    CHECK(series.report.verdict == Verdict::ok);
    CHECK(series.report.spacing_median == doctest::Approx(kHeadStep));
    CHECK(series.report.tilt_degrees < 0.01);
    const Volume volume = load_volume(series, 2);
    CHECK(volume.hu == source->hu);
    if (syntax == TransferSyntax::explicit_little)
      for (const int column : {60, 128, 131}) CHECK(largest_difference(volume, *source, column) < 0.01);
  }
}

TEST_CASE("real CT: order reversed, head first or feet first, by name or number: the same volume") {
  const Volume* head_volume = real_head();
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
  const Volume* source = real_head();
  if (!source) return;
  constexpr double kShear = 0.35;  // mm to the back per slice of 1.5 mm: 13 degrees
  Volume sheared = *source;
  for (int z = 0; z < kHeadSlices; ++z) sheared.positions[static_cast<std::size_t>(z)][1] += kShear * z;
  TempFolder folder;
  write_volume(folder.path(), sheared);
  const Series series = read_series(folder.path());
  CHECK(series.report.verdict == Verdict::warn);
  CHECK(mentions(series.report, "sheared by 13.1"));
  CHECK(series.report.tilt_degrees == doctest::Approx(13.13).epsilon(0.01));
  CHECK(series.report.spacing_median == doctest::Approx(kHeadStep));
  CHECK(largest_difference(load_volume(series), *source, 128, kShear) < 0.01);
}

TEST_CASE("real CT: scanned with a tilted gantry, the planes are those of the upright head") {
  const Volume* source = real_head();
  if (!source) return;
  const double angle = 15 * 3.14159265358979 / 180;
  // Sampled along tilted slices from the upright head, one sagittal plane thick on both sides of column 128.
  Volume tilted = make_volume(60, kHeadSide, 3, kHeadPixel, kHeadStep);
  tilted.column_direction = {0, std::cos(angle), std::sin(angle)};
  for (int z = 0; z < tilted.slices; ++z)
    tilted.positions[static_cast<std::size_t>(z)] = source->to_lps(24 + z, 0, 127);
  for (int z = 0; z < tilted.slices; ++z)
    for (int row = 0; row < kHeadSide; ++row)
      for (int column = 0; column < 3; ++column) {
        const Vec3 p = tilted.to_lps(z, row, column);
        const SagittalGrid point{1, 1, 0.1, p[1], p[2]};
        tilted.hu[(std::size_t(z) * kHeadSide + row) * 3 + column] =
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
  const Volume* head_volume = real_head();
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
    CHECK(series.report.spacing_median == doctest::Approx(kHeadStep * 2));  // not SliceThickness
    CHECK(load_volume(series).slices >= source.slices - 1);
  }
}

TEST_CASE("real CT: uneven distances are kept, gaps are filled only when asked") {
  const Volume* head_volume = real_head();
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
  const Volume* source = real_head();
  if (!source) return;
  const Midline midline = find_midline(*source);
  CHECK(midline.found);
  MESSAGE("midline at x = " << midline.x_mm << " mm");
  CHECK(std::abs(midline.x_mm) < 8);  // the head lies nearly centered; the nose and the dens are there
}
