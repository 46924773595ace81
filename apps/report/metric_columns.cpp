#include "apps/report/metric_columns.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr std::size_t kMostPoints = 2000;  // more than a chart has pixels

struct Lines {
  std::vector<Json> steps, epochs;
  Json end;
};

Lines read_lines(const fs::path& file) {
  Lines lines;
  if (!fs::exists(file)) return lines;
  std::istringstream stream(read_text_file(file, std::size_t{1} << 32));
  std::size_t number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    Json entry = Json::parse(line, nullptr, false);
    if (entry.is_discarded() && stream.eof()) break;
    require(entry.is_object() && entry.contains("type") && entry["type"].is_string(),
            "{}, line {}: is damaged; resume the run, which writes it again from its last checkpoint",
            file.string(), number);
    const std::string type = entry["type"];
    if (type == "step")
      lines.steps.push_back(std::move(entry));
    else if (type == "epoch")
      lines.epochs.push_back(std::move(entry));
    else if (type == "end")
      lines.end = std::move(entry);
  }
  return lines;
}

// The mean of the numbers under `key`; null when there is none.
Json mean_of(const std::vector<Json>& entries, std::size_t begin, std::size_t end, const std::string& key) {
  double sum = 0;
  std::size_t count = 0;
  for (std::size_t i = begin; i < end; ++i)
    if (const auto found = entries[i].find(key); found != entries[i].end() && found->is_number()) {
      sum += found->get<double>();
      ++count;
    }
  return count > 0 ? Json(sum / static_cast<double>(count)) : Json();
}

// One column per numeric key of the first entries, each point the mean of `group` of them.
Json columns(const std::vector<Json>& entries, std::size_t group) {
  Json result = Json::object();
  for (const Json& entry : entries)
    for (const auto& [key, value] : entry.items())
      if (value.is_number() || value.is_null()) result[key] = Json::array();
  for (auto& [key, column] : result.items())
    for (std::size_t i = 0; i < entries.size(); i += group)
      column.push_back(mean_of(entries, i, std::min(entries.size(), i + group), key));
  return result;
}

// Where each step lies between the epochs' ends: 1.5 is the middle of the second epoch. Before the first
// epoch has ended its length is unknown, and there are no positions.
void add_positions(std::vector<Json>& steps, const std::vector<Json>& epochs) {
  if (epochs.empty()) return;
  const double length = epochs.front().value("step", 1.0);
  for (Json& step : steps) step["epoch_position"] = step.value("step", 0.0) / length;
}

}  // namespace

Json metric_columns(const fs::path& metrics_jsonl, Json& end) {
  Lines lines = read_lines(metrics_jsonl);
  end = lines.end;
  add_positions(lines.steps, lines.epochs);
  const std::size_t group = (lines.steps.size() + kMostPoints - 1) / kMostPoints;
  Json epochs = columns(lines.epochs, 1);
  for (const Json& entry : lines.epochs)
    if (const auto areas = entry.find("validation_auroc"); areas != entry.end() && areas->is_object())
      for (const auto& [label, area] : areas->items()) epochs["validation_auroc"][label].push_back(area);
  return {{"steps", columns(lines.steps, std::max<std::size_t>(1, group))},
          {"epochs", epochs},
          {"steps_per_point", group}};
}

}  // namespace sagitta::apps
