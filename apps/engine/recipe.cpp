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

void add_run_directory_options(CLI::App& app, std::string& out, std::string& resume) {
  app.set_config("--recipe", "",
                 "shipped recipe (" + fmt::format("{}", fmt::join(recipe_names(), ", ")) +
                     ") or TOML file; flags win over it")
      ->type_name("FILE")
      ->transform([](const std::string& name) {
        try {
          return find_recipe(name).string();
        } catch (const Error& error) {
          throw CLI::ValidationError(error.what());
        }
      });
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.add_option("--out", out, "the run's directory; must not hold another run")->type_name("DIR");
  app.add_option("--resume", resume, "go on with this run, with its own options")
      ->type_name("DIR")
      ->configurable(false);
}

void parse_recipe_of_run(CLI::App& app, const fs::path& run) {
  const fs::path recipe = run / "recipe.toml";
  require(fs::is_regular_file(recipe), "--resume {}: is not a run (it has no recipe.toml)", run.string());
  std::vector<std::string> arguments{"--recipe", recipe.string()};
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them last first
  try {
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    fail("{}: {}", recipe.string(), error.what());
  }
  std::vector<std::string> missing;
  for (const CLI::Option* option : app.get_options())
    if (option->get_configurable() && option->count() == 0) missing.push_back(option->get_name());
  require(missing.empty(), "{}: is damaged or of another version: it does not set {}", recipe.string(),
          fmt::join(missing, ", "));
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
