#include "apps/predict/prediction_tables.h"

#include "data/csv.h"
#include "data/slice_set.h"
#include "tensor/atomic_file.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

std::string number(double value) { return fmt::format("{}", value); }

}  // namespace

void write_predictions_json(const StudyFiles& files, const Json& header, const std::vector<StudyRow>& rows) {
  AtomicFile file(files.folder() / "predictions.json");
  std::string text = json_text(header, 1);
  text.resize(text.rfind("\n}"));  // left open for the studies
  file.write(text + ",\n \"studies\": [");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Json record;
    if (rows[i].refusal.empty()) {
      record = Json::parse(read_text_file(files.folder() / StudyFiles::json_of(rows[i].study)));
      record.erase("settings");
    } else {
      record = {{"study", rows[i].study}, {"verdict", rows[i].verdict}, {"reasons", {rows[i].refusal}}};
    }
    const std::string line = json_text(record, -1);
    file.write((i == 0 ? "\n  " : ",\n  ") + line.substr(0, line.size() - 1));
  }
  file.write("\n ]\n}\n");
  file.commit();
}

void write_predictions_csv(const fs::path& file, const std::vector<StudyRow>& rows) {
  std::vector<std::string> header{"study", "verdict"};
  header.insert(header.end(), data::kLabelNames.begin(), data::kLabelNames.end());
  std::vector<std::vector<std::string>> lines;
  for (const StudyRow& row : rows) {
    std::vector<std::string>& line = lines.emplace_back(std::vector{row.study, row.verdict});
    for (const auto& p : row.probabilities) line.push_back(p ? number(*p) : "");
  }
  data::write_csv(file, header, lines);
}

std::size_t write_submission(const fs::path& file, const std::vector<StudyRow>& rows,
                             const std::vector<double>& fill) {
  std::vector<std::vector<std::string>> lines;
  std::size_t unpredicted = 0;
  for (const StudyRow& row : rows)
    for (std::size_t i = 1; i <= data::kLabelNames.size(); ++i) {
      const std::size_t label = i % data::kLabelNames.size();  // C1..C7, then patient_overall
      const auto& p = row.probabilities[label];
      unpredicted += !p;
      if (!p && fill.empty()) continue;
      lines.push_back({row.study + "_" + data::kLabelNames[label], number(p ? *p : fill[label])});
    }
  data::write_csv(file, {"row_id", "fractured"}, lines);
  return unpredicted;
}

}  // namespace sagitta::apps
