#include "data/rsna_csv.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "data/csv.h"
#include "tensor/error.h"

namespace sagitta::data {
namespace {

const std::vector<std::string> kTrainHeader = {
    "StudyInstanceUID", "patient_overall", "C1", "C2", "C3", "C4", "C5", "C6", "C7"};
const std::vector<std::string> kBoxHeader = {"StudyInstanceUID", "x", "y", "width", "height", "slice_number"};

std::vector<std::size_t> columns_of(const CsvTable& table, const std::vector<std::string>& names) {
  std::vector<std::size_t> columns;
  for (const auto& name : names) columns.push_back(table.column(name));
  return columns;
}

const std::string& study_id(const CsvTable& table, std::size_t row, std::size_t column) {
  const std::string& id = table.rows[row][column];
  require(is_plain_folder_name(id), "{}: \"{}\" cannot be a study folder name", table.where(row, column),
          id.substr(0, 80));
  return id;
}

int binary(const CsvTable& table, std::size_t row, std::size_t column) {
  const double value = table.number(row, column);
  require(value == 0 || value == 1, "{}: label is {}, expected 0 or 1", table.where(row, column), value);
  return static_cast<int>(value);
}

}  // namespace

bool is_plain_folder_name(std::string_view id) {
  const auto allowed = [](unsigned char c) {
    return c > 32 && c < 127 &&
           std::string_view("/\\:*?\"<>|").find(static_cast<char>(c)) == std::string_view::npos;
  };
  return !id.empty() && id.size() <= 64 && id.front() != '.' && id.back() != '.' &&
         std::all_of(id.begin(), id.end(), allowed);
}

std::vector<StudyLabels> read_train_csv(const std::filesystem::path& path) {
  const CsvTable table = read_csv(path);
  const auto columns = columns_of(table, kTrainHeader);
  require(!table.rows.empty(), "{}: lists no studies", table.file);
  std::vector<StudyLabels> studies;
  std::unordered_set<std::string> seen;
  for (std::size_t row = 0; row < table.rows.size(); ++row) {
    StudyLabels labels;
    labels.study = study_id(table, row, columns[0]);
    require(seen.insert(labels.study).second, "{}: study {} is listed twice", table.where(row, columns[0]),
            labels.study);
    labels.overall = binary(table, row, columns[1]);
    for (std::size_t i = 0; i < 7; ++i) labels.c[i] = binary(table, row, columns[2 + i]);
    const int any = *std::max_element(labels.c.begin(), labels.c.end());
    require(labels.overall == any, "{}: is {}, but C1..C7 say {}", table.where(row, columns[1]),
            labels.overall, any);
    studies.push_back(std::move(labels));
  }
  return studies;
}

void write_train_csv(const std::filesystem::path& path, const std::vector<StudyLabels>& studies) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& labels : studies) {
    auto& row = rows.emplace_back(std::vector<std::string>{labels.study, std::to_string(labels.overall)});
    for (int label : labels.c) row.push_back(std::to_string(label));
  }
  write_csv(path, kTrainHeader, rows);
}

std::vector<BoundingBox> read_bounding_boxes_csv(const std::filesystem::path& path) {
  const CsvTable table = read_csv(path);
  const auto columns = columns_of(table, kBoxHeader);
  std::vector<BoundingBox> boxes;
  for (std::size_t row = 0; row < table.rows.size(); ++row) {
    BoundingBox box{.study = study_id(table, row, columns[0]),
                    .x = table.number(row, columns[1]),
                    .y = table.number(row, columns[2]),
                    .width = table.number(row, columns[3]),
                    .height = table.number(row, columns[4])};
    require(box.width >= 0 && box.height >= 0, "{}: box is {} x {}, expected a size of at least 0",
            table.where(row, columns[3]), box.width, box.height);
    // The published table stores slice numbers as floats ("133.0").
    const double slice = table.number(row, columns[5]);
    require(slice >= 0 && slice <= 1e9 && slice == std::floor(slice),
            "{}: slice number is {}, expected a whole number", table.where(row, columns[5]), slice);
    box.slice_number = static_cast<int>(slice);
    boxes.push_back(std::move(box));
  }
  return boxes;
}

void write_bounding_boxes_csv(const std::filesystem::path& path, const std::vector<BoundingBox>& boxes) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& box : boxes) {
    rows.push_back({box.study, fmt::format("{:.2f}", box.x), fmt::format("{:.2f}", box.y),
                    fmt::format("{:.2f}", box.width), fmt::format("{:.2f}", box.height),
                    std::to_string(box.slice_number)});
  }
  write_csv(path, kBoxHeader, rows);
}

}  // namespace sagitta::data
