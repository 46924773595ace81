// The hidden option --manual: how the build gets a program's man page and completions out of the program
// itself.
#pragma once
#include <CLI/App.hpp>

namespace sagitta::apps {

// Adds "--manual man|bash|zsh|fish" to a program whose other options are all there. It is not in --help, and
// ends parsing with the text to print as --version does, so that required options may be missing.
void add_manual_option(CLI::App& app);

}  // namespace sagitta::apps
