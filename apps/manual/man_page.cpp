#include "apps/manual/man_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <regex>
#include <sstream>

namespace sagitta::apps {
namespace {

// Text that roff prints as it is: a backslash begins an escape, a bare '-' is a hyphen that cannot be
// searched for or copied, and a line that begins with a dot or a quote is a request.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    const bool line_start = result.empty() || result.back() == '\n';
    if (line_start && (c == '.' || c == '\'')) result += "\\&";
    if (c == '\\')
      result += "\\e";
    else if (c == '-')
      result += "\\-";
    else
      result += c;
  }
  return result;
}

// A program's name or an option, and a value to be replaced.
std::string bold(const std::string& text) { return "\\fB" + escaped(text) + "\\fR"; }
std::string italic(const std::string& text) { return "\\fI" + escaped(text) + "\\fR"; }

// Descriptions are broken by hand for --help. Lines are joined to be filled anew, but for those that line
// something up with double spaces.
std::string description(const std::string& text) {
  std::string result;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const bool lined_up = line.find("  ") != std::string::npos;
    result += lined_up ? ".br\n" + escaped(line) + "\n" : escaped(line) + "\n";
  }
  return result;
}

// What the program does in one phrase, for whatis(1): up to the first colon or full stop.
std::string phrase(const std::string& text) {
  std::smatch end;
  std::string result = std::regex_search(text, end, std::regex("[.:](\\s|$)")) ? end.prefix().str() : text;
  std::replace(result.begin(), result.end(), '\n', ' ');
  return result;
}

std::string synopsis(const OptionTable& table) {
  std::string text = bold(table.program);
  for (const OptionEntry& option : table.options)
    if (option.required && !option.names.empty())
      text += fmt::format(" {} {}", bold(main_name(option)), italic(option.value));
  text += " [options]";
  for (const OptionEntry& option : table.options) {
    if (!option.names.empty()) continue;
    const std::string name = italic(option.positional) + (option.repeated ? " ..." : "");
    text += option.required ? " " + name : " [" + name + "]";
  }
  return text;
}

std::string option_paragraph(const OptionEntry& option) {
  std::string names;
  for (const std::string& name : option.names) names += (names.empty() ? "" : ", ") + bold(name);
  if (option.names.empty()) names = italic(option.positional);
  if (option.takes_value && !option.names.empty()) names += " " + italic(option.value);
  if (option.repeated) names += " ...";
  std::string text = escaped(option.text);
  const auto add = [&](const std::string& label, const std::string& value) {
    if (!value.empty()) text += fmt::format("\n.br\n{}: {}", label, escaped(value));
  };
  add("One of", fmt::format("{}", fmt::join(option.choices, ", ")));
  add("Range", option.bounds);
  if (option.takes_value) add("Default", option.preset);
  if (option.required) text += "\n.br\nRequired.";
  return fmt::format(".TP\n{}\n{}\n", names, text);
}

}  // namespace

std::string man_page(const OptionTable& table, const std::string& version) {
  std::string page =
      fmt::format(".TH {0} 1 \"\" \"Sagitta {1}\" \"Sagitta\"\n.ad l\n.SH NAME\n{0} \\- {2}\n",
                  escaped(table.program), escaped(version), escaped(phrase(table.description)));
  page += fmt::format(".SH SYNOPSIS\n{}\n.SH DESCRIPTION\n{}.SH OPTIONS\n", synopsis(table),
                      description(table.description));
  std::string group;
  for (const OptionEntry& option : table.options) {
    if (option.group != group && option.group != "Options")
      page += fmt::format(".SS {}\n", escaped(option.group));
    group = option.group;
    page += option_paragraph(option);
  }
  page +=
      ".SH EXIT STATUS\n"
      ".TP\n\\fB0\\fR\nDone.\n"
      ".TP\n\\fB1\\fR\nThe work failed; one line on stderr says why.\n"
      ".TP\n\\fB2\\fR\nWrong usage: an option that does not exist, or a value that it does not take.\n";
  return page;
}

}  // namespace sagitta::apps
