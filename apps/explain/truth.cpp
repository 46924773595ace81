#include "apps/explain/truth.h"

#include <nlohmann/json.hpp>

#include "data/augment.h"
#include "data/rsna_csv.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::json;
namespace fs = std::filesystem;

data::SagittalGrid read_grid(const Json& image) {
  return {.width = image.at("width"),
          .height = image.at("height"),
          .spacing_mm = image.at("spacing_mm"),
          .y_first = image.at("y_first_mm"),
          .z_first = image.at("z_first_mm")};
}

data::AxialStack read_stack(const Json& sources) {
  data::AxialStack stack{.file_numbers = {},
                         .positions = {},
                         .row_direction = sources.at("row_direction").get<data::Vec3>(),
                         .column_direction = sources.at("column_direction").get<data::Vec3>(),
                         .row_spacing = sources.at("pixel_mm").at(0),
                         .column_spacing = sources.at("pixel_mm").at(1)};
  for (const Json& slice : sources.at("slices")) {  // sop_uid, file_number, instance_number, x, y, z
    stack.file_numbers.push_back(slice.at(1));
    stack.positions.push_back({slice.at(3), slice.at(4), slice.at(5)});
  }
  require(stack.row_spacing > 0 && stack.column_spacing > 0, "pixel_mm is not above 0");
  return stack;
}

std::array<int, 7> fractured_levels(const data::SliceRecord& slice) {
  std::array<int, 7> levels{};
  for (std::size_t i = 0; i < levels.size(); ++i) levels[i] = slice.labels[i + 1] > 0.5F ? 1 : 0;
  return levels;
}

StudyTruth read_study_truth(const fs::path& root, const data::SliceRecord& slice,
                            std::vector<data::BoundingBox> boxes) {
  const fs::path path = root / "slices" / slice.study / "study.json";
  StudyTruth truth;
  try {
    const Json json = Json::parse(read_text_file(path, std::size_t{1} << 28));
    require(json.at("settings").at("format").get<int>() >= 2,
            "{}: does not say where the axial images lie; cut the slices again, with this version of "
            "reslice, into a "
            "new folder",
            path.string());
    truth.grid = read_grid(json.at("record").at("image"));
    truth.stack = read_stack(json.at("sources"));
  } catch (const Json::exception& error) {
    fail("{}: is damaged ({}); run reslice again", path.string(), error.what());
  }
  truth.boxes = std::move(boxes);
  if (auto levels = data::boxes_of_levels(truth.stack, truth.boxes, fractured_levels(slice)))
    truth.by_level = std::move(*levels);
  return truth;
}

}  // namespace

Truth::Truth(const fs::path& ct, const data::SliceSet& slices) {
  const fs::path table = ct / "train_bounding_boxes.csv";
  require(fs::exists(table), "--ct {}: holds no train_bounding_boxes.csv", ct.string());
  std::map<std::string, std::vector<data::BoundingBox>> boxes;
  for (data::BoundingBox& box : data::read_bounding_boxes_csv(table))
    boxes[box.study].push_back(std::move(box));
  for (const data::SliceRecord& slice : slices.records) {
    const auto own = boxes.find(slice.study);
    if (own == boxes.end() || studies_.contains(slice.study)) continue;
    StudyTruth truth = read_study_truth(slices.root, slice, std::move(own->second));
    counts_.with_boxes += 1;
    counts_.ambiguous += truth.by_level.empty() ? 1 : 0;
    studies_.emplace(slice.study, std::move(truth));
  }
  require(!studies_.empty(), "--ct {}: its train_bounding_boxes.csv names none of the studies of --data",
          ct.string());
}

std::vector<std::uint8_t> Truth::mask(const data::SliceRecord& slice, std::size_t label, int size) const {
  const std::vector<std::uint8_t> nothing(static_cast<std::size_t>(size) * static_cast<std::size_t>(size));
  const auto found = studies_.find(slice.study);
  if (found == studies_.end()) return nothing;
  const StudyTruth& study = found->second;
  const auto level = study.by_level.find(static_cast<int>(label));
  if (label != 0 && level == study.by_level.end()) return nothing;
  // The center of each pixel of the square, in the picture it was scaled from, in the patient.
  const data::SagittalGrid& grid = study.grid;
  const data::LetterboxPlace place = data::letterbox_place(grid.width, grid.height, size);
  std::vector<double> ys, zs;
  for (int i = 0; i < size; ++i) {
    const double column = (i - place.left + 0.5) * grid.width / place.width - 0.5;
    const double row = (i - place.top + 0.5) * grid.height / place.height - 0.5;
    ys.push_back(grid.y_first + column * grid.spacing_mm);
    zs.push_back(grid.z_first - row * grid.spacing_mm);
  }
  return data::boxes_in_plane(study.stack, label == 0 ? study.boxes : level->second, slice.x_mm, ys, zs);
}

}  // namespace sagitta::apps
