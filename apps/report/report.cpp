#include "apps/report/report.h"

#include <map>
#include <nlohmann/json.hpp>

#include "apps/engine/shared_files.h"
#include "apps/report/run_document.h"
#include "tensor/atomic_file.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

using Json = nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr const char* kRefresh = "<meta http-equiv=\"refresh\" content=\"30\">\n";

std::string page_part(const char* name) { return read_text_file(shared_directory() / "report" / name); }

// Empty in a build that found no Chart.js: the page then says so in place of each chart.
std::string chart_library() {
  constexpr const char* kFile = "chart.min.js";
  return std::filesystem::exists(shared_directory() / "report" / kFile) ? page_part(kFile) : "";
}

std::string escaped(const std::string& text) {
  std::string html;
  for (const char c : text) switch (c) {
      case '&': html += "&amp;"; break;
      case '<': html += "&lt;"; break;
      case '"': html += "&quot;"; break;
      default: html += c;
    }
  return html;
}

// JSON inside a script element: nothing in it may look like the element's end.
std::string script_json(const Json& json) {
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace), safe;
  for (const char c : text) safe += c == '<' ? "\\u003c" : std::string(1, c);
  return safe;
}

// Replaces every {{name}} of the page.
std::string filled(const std::string& page, const std::map<std::string, std::string>& parts) {
  std::string text;
  for (std::size_t at = 0;;) {
    const std::size_t begin = page.find("{{", at), end = page.find("}}", begin);
    text.append(page, at, begin == std::string::npos ? std::string::npos : begin - at);
    if (begin == std::string::npos) return text;
    text += parts.at(page.substr(begin + 2, end - begin - 2));
    at = end + 2;
  }
}

// Names that tell the runs apart: their last folders, or their whole paths where those are equal.
std::vector<std::string> names_of(const std::vector<fs::path>& runs) {
  std::map<std::string, int> count;
  const auto short_name = [](const fs::path& run) { return fs::weakly_canonical(run).filename().string(); };
  for (const fs::path& run : runs) ++count[short_name(run)];
  std::vector<std::string> names;
  for (const fs::path& run : runs)
    names.push_back(count[short_name(run)] == 1 ? short_name(run) : run.string());
  return names;
}

}  // namespace

void write_report(const ReportOptions& options) {
  const std::vector<std::string> names = names_of(options.runs);
  Json runs = Json::array();
  for (std::size_t i = 0; i < names.size(); ++i) runs.push_back(run_document(options.runs[i], names[i]));
  const std::string title = names.size() == 1 ? names.front() : fmt::format("{} runs compared", names.size());
  write_page(title, {{"runs", runs}}, options.out, options.refreshes);
}

void write_page(const std::string& title, const Json& document, const fs::path& file, bool refreshes) {
  write_text_file(file, filled(page_part("report.html"), {{"title", escaped(title)},
                                                          {"refresh", refreshes ? kRefresh : ""},
                                                          {"style", page_part("report.css")},
                                                          {"document", script_json(document)},
                                                          {"chart_library", chart_library()},
                                                          {"charts", page_part("charts.js")},
                                                          {"sections", page_part("sections.js")},
                                                          {"script", page_part("report.js")}}));
}

}  // namespace sagitta::apps
