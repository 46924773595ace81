// Recipes: TOML files of training options, found by name or by path.
#pragma once
#include <CLI/App.hpp>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace sagitta::apps {

// A file that exists, or the name of a shipped recipe ("resnet50-rsna"). Throws Error listing the shipped
// ones.
std::filesystem::path find_recipe(const std::string& name_or_file);

// The names of the shipped recipes, sorted.
std::vector<std::string> recipe_names();

// The options that a recipe sets, in its order: name and value, lists with commas. Throws Error if it is no
// TOML.
std::vector<std::pair<std::string, std::string>> recipe_settings(const std::filesystem::path& file);

// Declares --recipe, --out and --resume: what a run is made of, and where it lies. A key of a recipe that is
// no option is an error: a misspelled one must not be passed over.
void add_run_directory_options(CLI::App& app, std::string& out, std::string& resume);

// Sets the options of `app` as RUN/recipe.toml has them. Throws Error unless it is there and holds every one:
// a recipe that was cut off must not go on with defaults.
void parse_recipe_of_run(CLI::App& app, const std::filesystem::path& run);

}  // namespace sagitta::apps
