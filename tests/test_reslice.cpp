// Reslicing a small data set: what is written, a second run that resumes the first, and what is refused.
#include <nlohmann/json.hpp>

#include "apps/reslice/reslice.h"
#include "data/csv.h"
#include "data/image.h"
#include "data/rsna_csv.h"
#include "tests/real_head.h"

using namespace sagitta;
using namespace sagitta::data;
using namespace sagitta::testing;

TEST_CASE("reslice: a small data set, resume it, refuse what is bad") {
  const Volume* head_volume = real_head();
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
