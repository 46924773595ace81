#include "data/slice_set.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "data/csv.h"
#include "tensor/error.h"

namespace sagitta::data {
namespace {

namespace fs = std::filesystem;

bool stays_inside(const fs::path& path) {
  return !path.empty() && path.is_relative() &&
         std::none_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; });
}

// All eight labels, or none when the study has no row in train.csv.
void read_labels(const CsvTable& table, std::size_t row, const std::array<std::size_t, 8>& columns,
                 SliceRecord& record) {
  const auto empty = [&](std::size_t column) { return table.rows[row][column].empty(); };
  record.labeled = !empty(columns[0]);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    require(empty(columns[i]) != record.labeled, "{}: labels are partly empty, expected all or none",
            table.where(row, columns[i]));
    if (!record.labeled) continue;
    const double value = table.number(row, columns[i]);
    require(value == 0 || value == 1, "{}: label is {}, expected 0 or 1", table.where(row, columns[i]),
            value);
    record.labels[i] = static_cast<float>(value);
  }
}

}  // namespace

SliceSet read_slice_set(const fs::path& root) {
  const fs::path manifest = root / "manifest.csv";
  require(fs::exists(manifest), "{}: no such file; make the slices with `reslice --data RSNA_DIR --out {}`",
          manifest.string(), root.string());
  const CsvTable table = read_csv(manifest);
  const std::size_t slice = table.column("slice"), study = table.column("study"), x_mm = table.column("x_mm");
  std::array<std::size_t, 8> labels{};
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = table.column(kLabelNames[i]);
  require(!table.rows.empty(), "{}: lists no slices; run `reslice` again", manifest.string());
  SliceSet set{.root = root, .records = {}};
  std::unordered_map<std::string, std::size_t> first_of_study;
  for (std::size_t row = 0; row < table.rows.size(); ++row) {
    SliceRecord record{
        .file = table.rows[row][slice], .study = table.rows[row][study], .x_mm = table.number(row, x_mm)};
    require(stays_inside(record.file), "{}: '{}' is not a path inside the folder", table.where(row, slice),
            record.file);
    require(!record.study.empty(), "{}: the study is empty", table.where(row, study));
    read_labels(table, row, labels, record);
    const auto [first, is_new] = first_of_study.emplace(record.study, set.records.size());
    const SliceRecord& same_study = is_new ? record : set.records[first->second];
    require(same_study.labeled == record.labeled && same_study.labels == record.labels,
            "{}: labels differ from those of an earlier slice of the study", table.where(row, study));
    set.records.push_back(std::move(record));
  }
  // Aggregation over a study relies on its slices being consecutive.
  std::stable_sort(set.records.begin(), set.records.end(), [&](const SliceRecord& a, const SliceRecord& b) {
    return first_of_study.at(a.study) < first_of_study.at(b.study);
  });
  return set;
}

std::vector<std::string> SliceSet::studies() const {
  std::vector<std::string> names;
  for (const SliceRecord& record : records)
    if (names.empty() || names.back() != record.study) names.push_back(record.study);
  return names;
}

SliceSet SliceSet::of_studies(const std::vector<std::string>& studies) const {
  const std::unordered_set<std::string> wanted(studies.begin(), studies.end());
  SliceSet subset{.root = root, .records = {}};
  for (const SliceRecord& record : records)
    if (wanted.contains(record.study)) subset.records.push_back(record);
  return subset;
}

std::string caption_of(const SliceRecord& record) {
  const std::size_t shown = std::min<std::size_t>(8, record.study.size());
  return fmt::format("{} x {:.1f} mm", record.study.substr(record.study.size() - shown), record.x_mm);
}

Image read_slice(const SliceSet& set, const SliceRecord& record) {
  const fs::path path = set.root / record.file;
  Image image = record.picture ? *record.picture : read_image(path);
  require(image.channels == 1 || image.channels == 3, "{}: {} channels, expected grey or RGB", path.string(),
          image.channels);
  return image;
}

}  // namespace sagitta::data
