// Completion of a program's command line in three shells: option names, the choices of an option, names of
// files and folders where a value can be one.
#pragma once
#include <string>

#include "apps/manual/option_table.h"

namespace sagitta::apps {

// Each is a whole file: for share/bash-completion/completions/NAME (needs bash 4 and nothing else),
std::string bash_completion(const OptionTable& table);
// share/zsh/site-functions/_NAME,
std::string zsh_completion(const OptionTable& table);
// and share/fish/vendor_completions.d/NAME.fish.
std::string fish_completion(const OptionTable& table);

}  // namespace sagitta::apps
