#include "apps/train/run_record.h"

#include <fmt/chrono.h>

#include <algorithm>
#include <cctype>
#include <ctime>
#include <nlohmann/json.hpp>
#include <set>

#include "apps/engine/build_facts.h"
#include "tensor/atomic_file.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

// A file that was lost or damaged must not keep a run from going on.
Json read_or(const fs::path& file, Json otherwise) {
  if (!fs::exists(file)) return otherwise;
  Json json = Json::parse(read_text_file(file, std::size_t{1} << 30), nullptr, false);
  return json.is_object() ? json : otherwise;
}

Json part_json(const data::SliceSet& slices, const std::vector<std::string>& studies,
               const SliceOrigins& origins) {
  const std::set<std::string> members(studies.begin(), studies.end());
  std::set<std::string> patients, seen;
  std::size_t count = 0;
  std::array<int, data::kLabelNames.size()> positives{};
  for (const data::SliceRecord& record : slices.records) {
    if (!members.contains(record.study)) continue;
    ++count;
    if (!seen.insert(record.study).second) continue;
    patients.insert(origins.patient_of(record.study));
    for (std::size_t i = 0; i < positives.size(); ++i) positives[i] += record.labels[i] > 0.5F;
  }
  Json of_label = Json::object();
  for (std::size_t i = 0; i < positives.size(); ++i) of_label[data::kLabelNames[i]] = positives[i];
  return {{"patients", patients.size()},
          {"studies", seen.size()},
          {"slices", count},
          {"positive_studies", of_label}};
}

}  // namespace

std::string shell_line(const std::vector<std::string>& arguments) {
  std::string line;
  for (const std::string& argument : arguments) {
    const bool is_plain =
        !argument.empty() && std::all_of(argument.begin(), argument.end(), [](unsigned char c) {
          return std::isalnum(c) ||
                 std::string_view("_-./,:=+@%").find(static_cast<char>(c)) != std::string_view::npos;
        });
    std::string quoted = "'";
    for (const char c : argument) quoted += c == '\'' ? "'\\''" : std::string(1, c);
    line += (line.empty() ? "" : " ") + (is_plain ? argument : quoted + "'");
  }
  return line;
}

void record_session(const fs::path& run, const RunSession& session) {
  Json build = Json::object();
  for (const auto& [name, value] : build_facts()) build[name] = value;
  Json record = read_or(run / "run.json", Json::object());
  record["program"] = session.program;
  if (!record["sessions"].is_array()) record["sessions"] = Json::array();
  record["sessions"].push_back({{"started", fmt::format("{:%FT%TZ}", fmt::gmtime(std::time(nullptr)))},
                                {"command", shell_line(session.command)},
                                {"device", session.device},
                                {"precision", session.precision},
                                {"threads", session.threads},
                                {"build", build}});
  write_text_file(run / "run.json", record.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

void record_data(const fs::path& run, const data::SliceSet& slices, const StudySplit& split) {
  const SliceOrigins origins = origins_of(slices);
  Json refused = Json::array();
  for (const SliceOrigins::Refused& study : origins.refused)
    refused.push_back({{"study", study.study}, {"reasons", study.reasons}});
  const Json json{{"settings", read_or(slices.root / "settings.json", Json())},
                  {"train", part_json(slices, split.train, origins)},
                  {"validation", part_json(slices, split.validation, origins)},
                  {"test", part_json(slices, split.test, origins)},
                  {"warned_studies", origins.warned},
                  {"refused_studies", refused}};
  write_text_file(run / "data.json", json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace sagitta::apps
