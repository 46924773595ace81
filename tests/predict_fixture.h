// What the tests of `predict` share: studies, models whose answers are known, and the files that a batch
// left.
#pragma once
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "apps/predict/predict_app.h"
#include "apps/reslice/reslice.h"
#include "data/dicom_secondary_capture.h"
#include "data/rsna_csv.h"
#include "models/hugging_face.h"
#include "tests/brightness_model.h"
#include "tests/ct_fixture.h"

namespace sagitta::testing {

namespace fs = std::filesystem;

constexpr int kBodySlices = 24, kBodySide = 40;
constexpr double kBodyPixel = 3, kBodyStep = 3;

// A cylinder of soft tissue, as bright as asked, with a block of bone.
inline data::Volume body(int hu) {
  data::Volume volume = make_volume(kBodySlices, kBodySide, kBodySide, kBodyPixel, kBodyStep);
  for (int z = 0; z < kBodySlices; ++z)
    for (int row = 0; row < kBodySide; ++row)
      for (int column = 0; column < kBodySide; ++column) {
        const bool inside = std::hypot(row - 19.5, column - 19.5) < 17;
        const bool block = z >= 8 && z < 16 && row >= 22 && row < 28 && column >= 18 && column < 23;
        volume.hu[(static_cast<std::size_t>(z) * kBodySide + static_cast<std::size_t>(row)) * kBodySide +
                  static_cast<std::size_t>(column)] = static_cast<std::int16_t>(block    ? 1800
                                                                                : inside ? hu
                                                                                         : -1000);
      }
  return volume;
}

// Three studies in RSNA's layout, their slices, and two models beside them: one for bright and dark pictures,
// one that is twice as sure and sees fewer pixels.
struct KnownCase {
  explicit KnownCase(const std::vector<std::string>& names = {"C2", "C5"}) {
    std::vector<data::StudyLabels> labels;
    int hu = 0;
    for (const std::string study : {"1.2.3.1", "1.2.3.2", "1.2.3.3"}) {
      write_volume(folder / "ct/train_images" / study, body(hu += 150), 5);
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
    BrightnessModel model(names);
    export_model(model, 64, "model");
    model.model.classifier.weight.assign({2, 0, 0, 0, -2, 0, 0, 0});
    export_model(model, 48, "surer");
    options.choice.models = {(folder / "model").string()};
    options.studies = (folder / "ct").string();
    options.out = (folder / "out").string();
    options.reading.threads = 1;
    options.jobs = 2;
    options.device.device = "cpu";
  }
  void export_model(const BrightnessModel& model, int size, const std::string& name) const {
    models::export_model(model.model,
                         {.kind = models::Preprocessor::Kind::convnext, .size = size, .crop_pct = 1},
                         folder / name);
    fs::copy_file(folder / "slices/settings.json", folder / (name + "/slices.json"));
  }
  fs::path images(const std::string& study) const { return folder / "ct/train_images" / study; }
  std::string text(const std::string& file) const { return read_bytes(folder / ("out/" + file)); }
  nlohmann::json study(const std::string& name) const {
    return nlohmann::json::parse(text("studies/" + name + ".json"));
  }
  TempFolder folder;
  apps::PredictOptions options;
};

// Path and content of every file.
inline std::map<std::string, std::string> files_in(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files[fs::relative(entry.path(), folder)] = read_bytes(entry.path());
  return files;
}

// A capture of a few pixels.
inline data::SecondaryCapture small_capture(const std::string& identity, std::uint8_t grey) {
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

}  // namespace sagitta::testing
