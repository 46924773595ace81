#include "apps/manual/option_table.h"

namespace sagitta::apps {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts{""};
  for (const char c : text)
    if (c == separator)
      parts.emplace_back();
    else
      parts.back() += c;
  return parts;
}

// CLI11 tells of a validator only through its description: IsMember's is {a,b,c}, Range's "INT in [1 - 9]",
// that of a file FILE. All of them hang on the type's name, behind colons.
void add_value(const CLI::Option& option, OptionEntry& entry) {
  const std::vector<std::string> parts = split(option.get_type_name(), ':');
  entry.value = parts.front().empty() ? "TEXT" : parts.front();
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const std::string& part = parts[i];
    if (part.starts_with('{') && part.ends_with('}'))
      entry.choices = split(part.substr(1, part.size() - 2), ',');
    else if (part == "FILE" || part == "DIR")
      entry.value = part;
    else  // The type once is enough.
      entry.bounds = part.starts_with(entry.value + " in ") ? part.substr(entry.value.size() + 4) : part;
  }
}

OptionEntry entry_of(const CLI::Option& option) {
  OptionEntry entry;
  entry.group = option.get_group();
  entry.text = option.get_description();
  for (const std::string& name : option.get_snames()) entry.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) entry.names.push_back("--" + name);
  if (entry.names.empty()) entry.positional = option.get_name(true);
  entry.takes_value = option.get_items_expected_max() > 0;
  if (entry.takes_value) add_value(option, entry);
  entry.preset = option.get_default_str();
  entry.required = option.get_required();
  entry.comma_separated = option.get_delimiter() == ',';
  entry.repeated = option.get_expected_max() > 1;
  return entry;
}

}  // namespace

OptionTable option_table(const CLI::App& app) {
  OptionTable table{app.get_name(), app.get_description(), {}};
  for (const std::string& group : app.get_groups())
    for (const CLI::Option* option :
         app.get_options([&](const CLI::Option* o) { return !group.empty() && o->get_group() == group; }))
      table.options.push_back(entry_of(*option));
  return table;
}

ValueKind value_kind(const OptionEntry& option) {
  if (option.value == "DIR") return ValueKind::directory;
  return option.value == "FILE" || option.value == "TEXT" ? ValueKind::file : ValueKind::other;
}

std::string main_name(const OptionEntry& option) {
  return option.names.empty() ? option.positional : option.names.back();
}

}  // namespace sagitta::apps
