#include "apps/study/slice_model_search.h"

#include <map>
#include <optional>

#include "apps/study/slice_model.h"
#include "tensor/error.h"

namespace sagitta::apps {
namespace {

namespace fs = std::filesystem;

using Reference = models::SliceModelReference;

bool holds_model(const fs::path& directory) { return fs::exists(directory / "config.json"); }

bool wants(const StudyModelPlace& study_model, const std::string& fingerprint) {
  for (const Reference& reference : study_model.config.slice_models)
    if (reference.fingerprint == fingerprint) return true;
  return false;
}

// The given directories by fingerprint.
std::map<std::string, std::string> given_models(const std::vector<StudyModelPlace>& study_models,
                                                const std::vector<std::string>& given) {
  std::map<std::string, std::string> found;
  for (const std::string& directory : given) {
    const std::string fingerprint = fingerprint_of_slice_model(directory);
    const auto [before, is_new] = found.emplace(fingerprint, directory);
    require(is_new, "--slice-model {}: is the same model as {}; leave one out", directory, before->second);
    const bool is_wanted = std::any_of(study_models.begin(), study_models.end(),
                                       [&](const auto& one) { return wants(one, fingerprint); });
    const StudyModelPlace& first = study_models.front();
    require(is_wanted,
            "--slice-model {}: is none of the {} slice models that {} was trained on; leave it out",
            directory, first.config.slice_models.size(), first.directory.string());
  }
  return found;
}

// The end of the directory's path, the longest first, in the folders above the study model, the nearest
// first. A run's name and "best" are the least that says which model is meant.
std::optional<fs::path> found_nearby(const fs::path& study_model, const Reference& reference) {
  constexpr std::ptrdiff_t kFewestNames = 2;
  fs::path named = fs::path(reference.directory).lexically_normal().relative_path();
  if (!named.has_filename()) named = named.parent_path();  // "best/"
  const fs::path start = fs::absolute(study_model).lexically_normal();
  for (fs::path above = start.parent_path(); above != above.root_path(); above = above.parent_path())
    for (auto name = named.begin(); std::distance(name, named.end()) >= kFewestNames; ++name) {
      fs::path nearby = above;
      for (auto rest = name; rest != named.end(); ++rest) nearby /= *rest;
      if (holds_model(nearby) && fingerprint_of_slice_model(nearby) == reference.fingerprint) return nearby;
    }
  return std::nullopt;
}

std::string find(const StudyModelPlace& study_model, const Reference& reference,
                 const std::map<std::string, std::string>& given) {
  if (const auto found = given.find(reference.fingerprint); found != given.end()) return found->second;
  const std::string there =
      holds_model(reference.directory) ? fingerprint_of_slice_model(reference.directory) : "";
  if (there == reference.fingerprint) return reference.directory;
  if (const auto nearby = found_nearby(study_model.directory, reference)) return nearby->string();
  const std::string study = study_model.directory.string();
  require(!there.empty(),
          "{}: its slice model {} ({}) is missing; name where it is now with --slice-model DIR", study,
          reference.directory, reference.fingerprint);
  fail(
      "{}: in {} is another model ({}) than the slice model that it was trained on ({}); name where that one "
      "is with --slice-model DIR, or train the study model again",
      study, reference.directory, there, reference.fingerprint);
}

}  // namespace

std::vector<std::vector<std::string>> find_slice_models(const std::vector<StudyModelPlace>& study_models,
                                                        const std::vector<std::string>& given) {
  const std::map<std::string, std::string> by_fingerprint = given_models(study_models, given);
  std::vector<std::vector<std::string>> directories;
  for (const StudyModelPlace& study_model : study_models) {
    std::vector<std::string>& own = directories.emplace_back();
    for (const Reference& reference : study_model.config.slice_models)
      own.push_back(find(study_model, reference, by_fingerprint));
  }
  return directories;
}

}  // namespace sagitta::apps
