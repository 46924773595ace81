#include "apps/engine/recipe.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "apps/engine/shared_files.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

namespace fs = std::filesystem;

fs::path recipe_directory() { return shared_directory() / "recipes"; }

}  // namespace

std::vector<std::string> recipe_names() {
  std::vector<std::string> names;
  std::error_code missing;
  for (const auto& entry : fs::directory_iterator(recipe_directory(), missing))
    if (entry.path().extension() == ".toml") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

fs::path find_recipe(const std::string& name_or_file) {
  if (fs::is_regular_file(name_or_file)) return name_or_file;
  const fs::path shipped = recipe_directory() / (name_or_file + ".toml");
  require(fs::is_regular_file(shipped), "--recipe {}: neither a file nor a shipped recipe ({})", name_or_file,
          fmt::join(recipe_names(), ", "));
  return shipped;
}

std::vector<std::pair<std::string, std::string>> recipe_settings(const fs::path& file) {
  std::vector<std::pair<std::string, std::string>> settings;
  try {
    for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_file(file.string()))
      settings.emplace_back(item.name, fmt::format("{}", fmt::join(item.inputs, ", ")));
  } catch (const CLI::Error& error) {
    fail("{}: {}", file.string(), error.what());
  }
  return settings;
}

}  // namespace sagitta::apps
