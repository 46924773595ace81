// The program `explain` from DICOM to the pointing game, with CT and a model whose answer is known.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/explain/explain_app.h"
#include "apps/reslice/reslice.h"
#include "data/image.h"
#include "data/rsna_csv.h"
#include "models/hugging_face.h"
#include "tests/brightness_model.h"
#include "tests/ct_fixture.h"

using namespace sagitta;
using testing::BrightnessModel;
using testing::TempFolder;

namespace {

constexpr int kSlices = 24, kSide = 40;
constexpr double kPixel = 3, kStep = 3;

// A cylinder of soft tissue with one bright block, the "fracture", whose boxes are returned.
std::vector<data::BoundingBox> write_study(const std::filesystem::path& images, const std::string& study,
                                           int height, double tilt) {
  data::Volume volume = testing::make_volume(kSlices, kSide, kSide, kPixel, kStep);
  volume.column_direction = {0, std::cos(tilt), std::sin(tilt)};
  const int top = height + 4, left = 16, front = 12, size = 7;
  for (int z = 0; z < kSlices; ++z)
    for (int row = 0; row < kSide; ++row)
      for (int column = 0; column < kSide; ++column) {
        const bool body = std::hypot(row - 19.5, column - 19.5) < 17;
        const bool bright = z >= height && z <= top && row >= front && row <= front + size &&
                            column >= left && column <= left + size;
        volume.hu[(static_cast<std::size_t>(z) * kSide + static_cast<std::size_t>(row)) * kSide +
                  static_cast<std::size_t>(column)] = bright ? 2000
                                                      : body ? 0
                                                             : -1000;
      }
  const auto files = testing::write_volume(images / study, volume, 5);
  std::vector<data::BoundingBox> boxes;
  for (int z = height; z <= top; ++z)
    boxes.push_back({.study = study,
                     .x = left,
                     .y = front,
                     .width = size,
                     .height = size,
                     .slice_number = std::stoi(files[static_cast<std::size_t>(z)].stem().string())});
  return boxes;
}

// Three studies: two with C2, one of them tilted, and one with C5; cut and a model that looks for brightness
// beside them. Its C2 is for bright pictures, its C5 for dark ones.
struct KnownCase {
  KnownCase() {
    const std::filesystem::path images = folder / "ct/train_images";
    std::vector<data::BoundingBox> boxes;
    std::vector<data::StudyLabels> labels;
    const auto add = [&](const std::string& study, int level, int height, double tilt) {
      for (data::BoundingBox& box : write_study(images, study, height, tilt)) boxes.push_back(std::move(box));
      data::StudyLabels& own = labels.emplace_back(data::StudyLabels{.study = study, .overall = 1, .c = {}});
      own.c[static_cast<std::size_t>(level - 1)] = 1;
    };
    add("upright", 2, 14, 0);
    add("tilted", 2, 6, 0.2);
    add("dark", 5, 10, 0);
    data::write_train_csv(folder / "ct/train.csv", labels);
    data::write_bounding_boxes_csv(folder / "ct/train_bounding_boxes.csv", boxes);
    apps::ResliceOptions cut;
    cut.data = folder / "ct";
    cut.out = folder / "slices";
    cut.planes = 3;
    cut.span_mm = 8;
    cut.size = 80;
    cut.windows = apps::parse_windows("", apps::SliceChannels::grey);
    REQUIRE(apps::reslice(cut).usable() == 3);
    const BrightnessModel bright({"C2", "C5"});
    // Below half the window nothing is seen: soft tissue is dark, the block is not.
    models::export_model(bright.model,
                         {.kind = models::Preprocessor::Kind::convnext, .size = 64, .crop_pct = 1},
                         folder / "model");
    options.model = (folder / "model").string();
    options.data = (folder / "slices").string();
    options.ct = (folder / "ct").string();
    options.out = (folder / "out").string();
    options.split = "all";
    options.examples = 2;
    options.batch_size = 4;
  }
  nlohmann::json json(const std::string& file) const {
    return nlohmann::json::parse(testing::read_bytes(folder / ("out/" + file)));
  }
  TempFolder folder;
  apps::ExplainOptions options;
};

}  // namespace

TEST_CASE("explain: a model that looks at the fracture hits, one that looks at nothing does not") {
  const KnownCase known;
  apps::explain_model(known.options);
  const nlohmann::json game = known.json("pointing_game.json");
  CHECK(game["method"] == "grad-cam");
  CHECK(game["studies_with_boxes"] == 3);
  CHECK(game["ambiguous_studies"] == 0);
  REQUIRE(game["scores"].size() == 3);
  const nlohmann::json &c2 = game["scores"][0], &c5 = game["scores"][1], &all = game["scores"][2];
  CHECK(c2["label"] == "C2");
  CHECK(c2["slices"] == 6);
  CHECK(c2["hits"] == 6);
  CHECK(c2["hit_rate"] == 1);
  CHECK(c2["factor"].get<double>() > 10);
  // 8 x 5 voxels of 3 mm in a field of 117 mm; the body fills most of the height, but not the width.
  CHECK(c2["picture_chance"].get<double>() == doctest::Approx(21 * 15 / (117.0 * 117)).epsilon(0.15));
  CHECK(c2["chance"].get<double>() > c2["picture_chance"].get<double>());
  CHECK(c2["energy"].get<double>() > 0.3);  // a map of 16 x 16 cells spills over the rim
  // The blocks of the two studies lie at different heights: knowing the one does not help with the other.
  CHECK(c2["swapped_hit_rate"] == 0);
  CHECK(c5["hits"] == 0);
  CHECK(c5["energy"] == 0);
  CHECK(all["slices"] == 9);

  const nlohmann::json examples = known.json("examples.json");
  REQUIRE(examples["examples"].size() == 6);
  CHECK(examples["examples"][0]["kind"] == "found");
  CHECK(examples["examples"][0]["label"] == "C2");
  CHECK(examples["examples"][0]["truth"] == nlohmann::json::array({"C2"}));
  for (const auto& example : examples["examples"])
    for (const auto& [key, channels] : {std::pair{"picture", 1}, {"heat", 4}}) {
      const data::Image image = data::read_image(known.folder / ("out/" + example[key].get<std::string>()));
      CHECK(image.channels == channels);
      CHECK(image.width == image.height);
    }
  CHECK(data::read_image(known.folder / "out/examples.png").width > 1000);
}

TEST_CASE("explain: one label, and without --ct no game") {
  KnownCase known;
  known.options.label = "C5";
  apps::explain_model(known.options);
  CHECK(known.json("pointing_game.json")["scores"].size() == 2);
  known.options.ct.clear();
  known.options.out = (known.folder / "second").string();
  apps::explain_model(known.options);
  CHECK(std::filesystem::exists(known.folder / "second/examples.png"));
  CHECK_FALSE(std::filesystem::exists(known.folder / "second/pointing_game.json"));
}

TEST_CASE("explain: what does not fit is refused by name") {
  KnownCase known;
  const auto refused = [&](const std::string& words, const auto& change) {
    apps::ExplainOptions options = known.options;
    change(options);
    CAPTURE(words);
    CHECK_THROWS_WITH_AS(apps::explain_model(options), doctest::Contains(words.c_str()), Error);
  };
  refused("--label is C3, expected all or one of the model's: C2, C5", [](auto& o) { o.label = "C3"; });
  refused("expected grad-cam for this model", [](auto& o) { o.method = "attention-rollout"; });
  refused("train_bounding_boxes.csv", [](auto& o) { o.ct = o.data; });
  refused("split.json", [](auto& o) { o.split = "test"; });
  const auto replace = [&](const std::string& from, const std::string& to) {
    const auto file = known.folder / "slices/slices/upright/study.json";
    std::string text = testing::read_bytes(file);
    REQUIRE(text.find(from) != std::string::npos);
    testing::write_bytes(file, text.replace(text.find(from), from.size(), to));
  };
  replace("\"format\":2", "\"format\":1");
  refused("upright/study.json: does not say where the axial images lie", [](auto&) {});
  replace("\"format\":1", "\"format\":2");
  replace("\"row_direction\"", "\"row_duration\"");
  refused("upright/study.json: is damaged", [](auto&) {});
  std::filesystem::remove(known.folder / "slices/slices/upright/study.json");
  refused("upright/study.json", [](auto&) {});
  data::write_bounding_boxes_csv(
      known.folder / "ct/train_bounding_boxes.csv",
      {{.study = "stranger", .x = 1, .y = 1, .width = 1, .height = 1, .slice_number = 1}});
  refused("names none of the studies", [](auto&) {});
}
