#include "apps/manual/completion.h"

#include <fmt/format.h>

#include <algorithm>

namespace sagitta::apps {
namespace {

// `text` as one line, with a backslash before each of `special`.
std::string escaped(const std::string& text, const std::string& special) {
  std::string result;
  for (const char c : text) {
    if (special.find(c) != std::string::npos) result += '\\';
    result += c == '\n' ? ' ' : c;
  }
  return result;
}

// A word in single quotes: bash and zsh have no escape within them, fish has.
std::string shell_quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}
std::string fish_quoted(const std::string& text) { return "'" + escaped(text, "'\\") + "'"; }

std::string choices_of(const OptionEntry& option) {
  return fmt::format("{}", fmt::join(option.choices, " "));
}

// Without positional arguments there is nothing but options to offer.
bool has_positional(const OptionTable& table) {
  return std::any_of(table.options.begin(), table.options.end(),
                     [](const OptionEntry& option) { return option.names.empty(); });
}

// What compgen offers as a path of this kind.
const char* bash_paths(const OptionEntry& option) {
  return value_kind(option) == ValueKind::directory ? "-d" : "-f";
}

// {0} the program, {1} a case per option that takes a value, {2} all option names, {3} when to offer them,
// {4} what to offer as a positional argument.
constexpr const char* kBash = R"(# bash completion of {0}, written by: {0} --manual bash
_sagitta_{0}() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} words= begun= paths=
  # --option=value arrives as three words.
  if [[ $current == = ]]; then
    current=
  elif [[ $previous == = ]]; then
    previous=${{COMP_WORDS[COMP_CWORD - 2]}}
  fi
  case $previous in
{1}    *)
      if [[ {3} ]]; then
        words={2}
      else
        paths={4}
      fi
      ;;
  esac
  if [[ $paths ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen "$paths" -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -P "$begun" -W "$words" -- "${{current#"$begun"}}")
  fi
}}
complete -F _sagitta_{0} {0}
)";

std::string bash_case(const OptionEntry& option) {
  std::string action;
  if (!option.choices.empty())
    action = fmt::format("words={} ", shell_quoted(choices_of(option)));
  else if (value_kind(option) != ValueKind::other)
    action = fmt::format("paths={} ", bash_paths(option));
  // Of a list the last item is completed.
  if (option.comma_separated && !option.choices.empty()) action += "begun=${current%\"${current##*,}\"} ";
  return fmt::format("    {}) {};;\n", fmt::join(option.names, " | "), action);
}

std::string zsh_values(const OptionEntry& option) {
  if (!option.choices.empty() && option.comma_separated) return "_sequence compadd - " + choices_of(option);
  if (!option.choices.empty()) return "(" + choices_of(option) + ")";
  switch (value_kind(option)) {
    case ValueKind::file: return "_files";
    case ValueKind::directory: return "_directories";
    case ValueKind::other: return " ";
  }
  return " ";
}

// One argument of _arguments: exclusions, names, [description], :value:what completes it.
std::string zsh_spec(const OptionEntry& option) {
  if (option.names.empty())
    return shell_quoted(
        fmt::format("{}:{}:{}", option.repeated ? "*" : "", option.positional, zsh_values(option)));
  std::string rest = "[" + escaped(option.text, "[]:\\") + "]";
  if (option.takes_value) rest += fmt::format(":{}:{}", option.value, zsh_values(option));
  std::vector<std::string> names = option.names;
  if (option.takes_value)
    for (std::string& name : names)
      name += name.starts_with("--") ? "=" : "+";  // --name=value as well as --name value
  if (names.size() == 1) return shell_quoted(names[0] + rest);
  return fmt::format("{}{{{}}}{}", shell_quoted(fmt::format("({})", fmt::join(option.names, " "))),
                     fmt::join(names, ","), shell_quoted(rest));
}

std::string fish_line(const std::string& program, const OptionEntry& option) {
  std::string line = "complete -c " + program;
  for (const std::string& name : option.names)
    line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  if (!option.choices.empty())
    line += " -x -a " + fish_quoted(option.comma_separated
                                        ? fmt::format("(__fish_complete_list , \"string split ' ' '{}'\")",
                                                      choices_of(option))
                                        : choices_of(option));
  else if (option.takes_value && value_kind(option) == ValueKind::directory)
    line += " -x -a '(__fish_complete_directories)'";
  else if (option.takes_value)
    line += value_kind(option) == ValueKind::file ? " -r -F" : " -x";
  return line + " -d " + fish_quoted(escaped(option.text, "")) + "\n";
}

}  // namespace

std::string bash_completion(const OptionTable& table) {
  std::string cases, positional = "-f";
  std::vector<std::string> names;
  for (const OptionEntry& option : table.options) {
    if (option.names.empty()) {
      positional = bash_paths(option);
      continue;
    }
    names.push_back(main_name(option));
    if (option.takes_value) cases += bash_case(option);
  }
  return fmt::format(kBash, table.program, cases, shell_quoted(fmt::format("{}", fmt::join(names, " "))),
                     has_positional(table) ? "$current == -*" : "1", positional);
}

std::string zsh_completion(const OptionTable& table) {
  std::string text = fmt::format(
      "#compdef {0}\n# zsh completion of {0}, written by: {0} --manual zsh\n_arguments", table.program);
  for (const OptionEntry& option : table.options) text += " \\\n  " + zsh_spec(option);
  return text + "\n";
}

std::string fish_completion(const OptionTable& table) {
  std::string text = fmt::format("# fish completion of {0}, written by: {0} --manual fish\n", table.program);
  if (!has_positional(table)) text += fmt::format("complete -c {} -f\n", table.program);
  for (const OptionEntry& option : table.options)
    if (!option.names.empty()) text += fish_line(table.program, option);
  return text;
}

}  // namespace sagitta::apps
