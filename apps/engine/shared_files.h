// Where the files lie that come with the programs: recipes, and the parts of a report's page.
#pragma once
#include <filesystem>

namespace sagitta::apps {

// bin/../share/sagitta: the same in a build tree and in an installed one.
inline std::filesystem::path shared_directory() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / "share" / "sagitta";
}

}  // namespace sagitta::apps
