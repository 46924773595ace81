// report.html: a run, or several side by side, as one page that needs no network and no other file.
#pragma once
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace sagitta::apps {

struct ReportOptions {
  std::vector<std::filesystem::path> runs;
  std::filesystem::path out;  // the page
  bool refreshes = false;     // the page loads itself again every half minute: for a run that goes on
};

// Writes the page, whole or not at all. Throws Error if a run cannot be read or the page not be written.
void write_report(const ReportOptions& options);

// The page around any document that page/report.js knows how to show.
void write_page(const std::string& title, const nlohmann::ordered_json& document,
                const std::filesystem::path& file, bool refreshes = false);

}  // namespace sagitta::apps
