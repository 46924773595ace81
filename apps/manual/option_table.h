// OptionTable: what a program's --help says, as plain data.
// The one place that asks CLI11; man pages and completions are written from the table, so that neither can
// know an option that the program does not have, or miss one that it has.
#pragma once
#include <CLI/App.hpp>
#include <string>
#include <vector>

namespace sagitta::apps {

struct OptionEntry {
  std::vector<std::string> names;  // with dashes, short ones first; empty for a positional argument
  std::string positional;          // the name of a positional argument
  std::string group;               // the heading in --help
  std::string text;                // the description
  std::string value;               // "INT", "TEXT", "DIR", ...; empty for a flag
  std::string bounds;              // "[0 - 1]"; empty: any value
  std::vector<std::string> choices;
  std::string preset;        // the default; empty: none, or it is explained in the text
  bool takes_value = false;  // false: a flag
  bool required = false;
  bool repeated = false;         // takes several values
  bool comma_separated = false;  // in one word
};

struct OptionTable {
  std::string program, description;
  std::vector<OptionEntry> options;  // in the order of --help
};

// The options that --help shows. (No program has subcommands.)
OptionTable option_table(const CLI::App& app);

// What completes the value of an option: names of files, names of folders, or nothing that a shell could know
// (a number). Choices come first where there are some.
enum class ValueKind { file, directory, other };
ValueKind value_kind(const OptionEntry& option);

// "--labels", the longest name; for a positional argument its name.
std::string main_name(const OptionEntry& option);

}  // namespace sagitta::apps
